//! Faults: what happens to nodes, disks, ways and clients while there is trouble, and when it ends.
use super::super::plan::Fault;
use super::Simulation;
use super::repair::Harm;

impl Simulation {
    /// Lets the next fault happen.
    pub(super) fn fault(&mut self) {
        if self.plan.faults.is_empty() {
            return;
        }
        let fault = *self.dice.pick(&self.plan.faults);
        if self.is_exposed() && !matches!(fault, Fault::WallJumps | Fault::ClientMoves | Fault::ClientDies) {
            return;
        }
        let node = self.dice.index(self.machines.len());
        let span = self.dice.between(50, 1_500);
        let until = self.now_ms + span;
        self.network.note(format_args!("fault {fault:?} at node {node} for {span}"));
        let machine = &mut self.machines[node];
        match fault {
            Fault::Kill => self.end(node, false),
            Fault::Power => self.end(node, true),
            Fault::DieWriting => {
                machine.dies_with_power = self.dice.chance(500);
                machine.medium.lock().trouble().dies_after = Some(self.dice.below(20));
            }
            Fault::Stop => {
                if let Some(process) = &machine.process {
                    process.stop();
                }
            }
            Fault::Pause => {
                if machine.process.is_some() {
                    machine.paused_until_ms = Some(until);
                }
            }
            Fault::CutOneWay => {
                let other = self.dice.index(self.machines.len());
                self.cut(until, node, other);
            }
            Fault::Isolate => {
                for other in 0..self.machines.len() {
                    self.cut(until, node, other);
                    self.cut(until, other, node);
                }
            }
            Fault::WriteFails => {
                machine.disk_failed = true;
                machine.medium.lock().trouble().write_fails = true;
            }
            Fault::SyncFails => {
                machine.disk_failed = true;
                machine.medium.lock().trouble().sync_fails = true;
            }
            Fault::DiskFull => {
                machine.disk_failed = true;
                machine.medium.lock().trouble().full = true;
                machine.disk_full_until_ms = Some(until);
            }
            Fault::BitRot => self.harm = Some((Harm::Rot, node)),
            Fault::Voters => self.operator.wish(),
            Fault::EmptyDisk => self.harm = Some((Harm::Empty, node)),
            Fault::WallJumps => {
                let by_ms = self.dice.between(0, 20_000) as i64 - 10_000;
                if let Some(process) = &machine.process {
                    process.jump_wall(by_ms);
                }
            }
            Fault::ClientMoves => {
                let (client, politely) = (self.dice.index(self.clients.len()), self.dice.chance(500));
                self.clients[client].move_on(self.now_ms, politely);
            }
            Fault::ClientDies => {
                // Somebody must be left to make progress.
                let client = self.dice.index(self.clients.len());
                if self.clients.iter().filter(|client| !client.is_silent()).count() > 1 {
                    self.clients[client].fall_silent();
                }
            }
        }
    }

    fn cut(&mut self, until: u64, from: usize, to: usize) {
        if from != to {
            self.network.cut(from, to, true);
            self.cuts.push((until, from, to));
        }
    }

    /// Ends those that last no longer.
    pub(super) fn end_of_faults(&mut self) {
        let (now_ms, network) = (self.now_ms, &self.network);
        self.cuts.retain(|(until, from, to)| {
            let lasts = now_ms < *until;
            if !lasts {
                network.cut(*from, *to, false);
            }
            lasts
        });
        for machine in &mut self.machines {
            if machine.disk_full_until_ms.is_some_and(|until| now_ms >= until) {
                machine.disk_full_until_ms = None;
                machine.medium.lock().trouble().full = false;
            }
        }
    }
}
