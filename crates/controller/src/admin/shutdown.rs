//! Controlled shutdown: before a broker stops, its leaderships go to others.
use super::AdminError;
use crate::controller::Controller;
use crate::live::{Command, Partitions};
use tokio::sync::oneshot;

impl Controller {
    /// Moves every leadership of a broker to another in-sync replica and takes it out of the in-sync sets in which others remain.
    /// Works on the node that is the controller. Gives the replicated partitions that nobody else can lead.
    ///
    /// `broker_epoch` is the epoch in which the broker registered, or -1 if it is not known.
    pub async fn controlled_shutdown(
        &self,
        broker_id: i32,
        broker_epoch: i64,
    ) -> Result<Partitions, AdminError> {
        if !self.is_active() {
            return Err(AdminError::NotController);
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::ControlledShutdown { broker: broker_id, epoch: broker_epoch, reply };
        let gone = || AdminError::Unavailable("the controller is stopping".to_owned());
        self.shared.commands.try_send(command).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
