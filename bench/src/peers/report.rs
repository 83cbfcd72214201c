//! BENCHMARKS.md: what is wanted and what was measured, then every figure. Everything in it comes from the store.
use super::figures::Better;
use super::launch::{KAFKA, KAFKA_JVM, ZOOKEEPER, ZOOKEEPER_JVM};
use super::plots;
use super::ratios::{Comparison, Judged, Ratio, comparisons, judged};
use super::server::Kind;
use super::store::{Record, Store};
use std::fmt::Write as _;

const HOW: &str = "\
Every workload runs turn by turn, ours, the peer's, ours, the peer's, on clusters that run side by side on this machine; both are warmed up by the workload \
before its turns count. A ratio is Zoolog's figure divided by the peer's of the same turn; tables show the median of the turns and, in brackets, \
the least and the most. Workloads about start, memory and recovery get new clusters for each turn. Before each turn the system writes what it still \
holds back of all files (`sync`), so that no turn waits for the disk on behalf of the one before.

The load generators are one thread each, with frames that are encoded once and many requests on their way (`32x32`: 32 connections with 32 each; `1x1`: \
a client that waits for every answer). They check every answer. \
Producing counts from the moment at which every partition has its first batch, because that one is dear where index files are made for it; \
`ms to the first batches` is how long that took. `open` is an open loop: requests leave by a schedule of half the rate that the peer reaches in \
the closed loop, and latency counts from the scheduled time, so that a server that stalls is charged for what it delays. Processor time and memory \
are those of all server processes together, from /proc. Clients and servers share the processors.

ZooKeeper flushes every transaction (its default); Kafka leaves flushing to the system (its default), or flushes every batch where the name says `flush`. \
`maxClientCnxns=0` on both sides; ZooKeeper's AdminServer is off; internal topics have as many copies as there are nodes. Everything else is at its default. \
Kafka's nodes are broker and controller in one process.
";

/// The whole page.
pub(crate) fn text(store: &Store) -> String {
    let mut text = String::from(
        "# Zoolog beside Apache ZooKeeper and Apache Kafka\n\n\
         Written by `cargo xtask bench`; no figure in it is typed by hand.\n\n",
    );
    let judged = judged(&store.records);
    put(&mut text, format_args!("![How many times better than the peer]({})\n\n", plots::HEADLINE));
    goals(&mut text, &judged);
    how(&mut text, store);
    for (name, title) in plots::OTHERS {
        put(&mut text, format_args!("![{title}]({name})\n\n"));
    }
    let mut groups: Vec<&str> = Vec::new();
    for record in &store.records {
        if !groups.contains(&group(record)) {
            groups.push(group(record));
        }
    }
    for name in groups {
        let records = store.records.iter().filter(|record| group(record) == name);
        group_table(&mut text, name, records);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Appending to a string can't fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(arguments);
}

/// The parts of a name before its second slash.
fn group(record: &Record) -> &str {
    let second = record.name.match_indices('/').nth(1).map_or(record.name.len(), |(at, _)| at);
    &record.name[..second]
}

fn goals(text: &mut String, judged: &[Judged<'_>]) {
    let reached = judged.iter().filter(|judged| judged.reached()).count();
    put(text, format_args!("## Goals: {reached} of {} reached\n\n", judged.len()));
    text.push_str("| what | workload | figure | against | goal | median (least - most) | reached |\n|---|---|---|---|---|---|---|\n");
    let mut rows: Vec<&str> = Vec::new();
    for judged in judged {
        if !rows.contains(&judged.goal.row.as_ref()) {
            rows.push(&judged.goal.row);
        }
    }
    for row in rows {
        for judged in judged.iter().filter(|judged| judged.goal.row == row) {
            put(
                text,
                format_args!(
                    "| {row} | `{}` | {} | {} | {} | {} | {} |\n",
                    judged.record.name,
                    judged.goal.figure,
                    peer(judged.record.peer),
                    goal(judged),
                    ratio(Some(judged.ratio)),
                    if judged.reached() { "yes" } else { "**no**" }
                ),
            );
        }
    }
    text.push('\n');
}

/// As the reach has it: `at least 3`, `at most 1/3`.
fn goal(judged: &Judged<'_>) -> String {
    let wanted = format!("{:.1}", judged.wanted());
    let wanted = wanted.trim_end_matches(".0");
    if judged.better == Better::Higher { format!("at least {wanted}") } else { format!("at most 1/{wanted}") }
}

fn how(text: &mut String, store: &Store) {
    put(text, format_args!("## How\n\n{HOW}\n{}\n\n", store.machine));
    for version in &store.versions {
        put(text, format_args!("- {version}\n"));
    }
    put(
        text,
        format_args!(
            "- {ZOOKEEPER}: `java {ZOOKEEPER_JVM} org.apache.zookeeper.server.quorum.QuorumPeerMain`\n"
        ),
    );
    put(text, format_args!("- {KAFKA}: `java {KAFKA_JVM} kafka.Kafka`\n\n"));
    let quick = store.records.iter().filter(|record| record.quick).count();
    let days = store.records.iter().map(|record| day(record.measured_ms));
    if let (Some(first), Some(last)) = (days.clone().min(), days.max()) {
        put(
            text,
            format_args!(
                "{} workloads, {quick} of them by `cargo xtask bench --quick` (shorter turns), measured from {first} to {last}. \
                 `cargo xtask bench --only SUBSTRING` measures those again whose name contains it and keeps the others; \
                 `cargo xtask bench --list` names them all.\n\n",
                store.records.len()
            ),
        );
    }
    let unsynced: Vec<String> = store
        .records
        .iter()
        .filter(|record| !record.synced)
        .map(|record| format!("`{}`", record.name))
        .collect();
    if !unsynced.is_empty() {
        put(
            text,
            format_args!(
                "{} of them were measured before the rule that all files are written before each turn: {}.\n\n",
                unsynced.len(),
                unsynced.join(", ")
            ),
        );
    }
}

fn group_table<'a>(text: &mut String, name: &str, records: impl Iterator<Item = &'a Record>) {
    put(
        text,
        format_args!(
            "## {name}\n\n| workload | figure | Zoolog | peer | ratio, median (least - most) |\n|---|---|---|---|---|\n"
        ),
    );
    for record in records {
        for (index, comparison) in comparisons(record).iter().enumerate() {
            let workload = if index == 0 { format!("`{}`", record.name) } else { String::new() };
            row(text, &workload, comparison);
        }
    }
    text.push('\n');
}

fn row(text: &mut String, workload: &str, comparison: &Comparison<'_>) {
    put(
        text,
        format_args!(
            "| {workload} | {} | {} | {} | {} |\n",
            comparison.figure,
            number(comparison.ours),
            comparison.theirs.map_or("-".to_owned(), number),
            ratio(comparison.ratio)
        ),
    );
}

fn ratio(ratio: Option<Ratio>) -> String {
    match ratio {
        None => "-".to_owned(),
        Some(Ratio { median, least, most }) => {
            format!("{} ({} - {})", short(median), short(least), short(most))
        }
    }
}

/// Two digits behind the point, or as many as a small number needs to be told from zero.
fn short(value: f64) -> String {
    if value >= 0.1 { format!("{value:.2}") } else { format!("{value:.3}") }
}

/// Whole numbers with separators from a hundred on.
pub(crate) fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn peer(kind: Kind) -> &'static str {
    match kind {
        Kind::Zoolog => "-",
        Kind::ZooKeeper => "ZooKeeper",
        Kind::Kafka => "Kafka",
    }
}

/// The day of a time in milliseconds since 1970, in UTC: year-month-day.
fn day(ms: i64) -> String {
    const MS_PER_DAY: i64 = 86_400_000;
    // Counted from 1 March of the year 0, so that a leap day is the last of its year.
    let days = ms.div_euclid(MS_PER_DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::figures::Figure;
    use crate::peers::workload::Workload;

    #[test]
    fn days_of_times() {
        let cases = [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (1_709_251_199_999, "2024-02-29"),
            (1_709_251_200_000, "2024-03-01"),
            (1_795_395_600_000, "2026-11-23"),
        ];
        for (ms, expected) in cases {
            assert_eq!(day(ms), expected);
        }
    }

    #[test]
    fn numbers_for_readers() {
        let cases = [(0.5, "0.50"), (12.34, "12.3"), (999.6, "1,000"), (1_234_567.0, "1,234,567")];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn the_page_says_what_is_reached_and_what_is_not() {
        let workload = Workload::new("zk/set/x", Kind::ZooKeeper, 1, |_, _| Ok(Vec::new()))
            .goal("writes", "per second", 2.0)
            .goal("tail", "p99 us", 1.0 / 3.0);
        let mut record = Record::new(&workload, true, 0);
        let turn = |speed, tail| vec![Figure::higher("per second", speed), Figure::lower("p99 us", tail)];
        record.ours = vec![turn(3_000.0, 50.0)];
        record.theirs = vec![turn(1_000.0, 100.0)];
        let store = Store { records: vec![record], ..Store::default() };
        let text = text(&store);
        assert!(text.contains("## Goals: 1 of 2 reached"), "{text}");
        assert!(text.contains(
            "| writes | `zk/set/x` | per second | ZooKeeper | at least 2 | 3.00 (3.00 - 3.00) | yes |"
        ));
        assert!(text.contains("| at most 1/3 | 0.50 (0.50 - 0.50) | **no** |"));
        assert!(text.contains("| `zk/set/x` | per second | 3,000 | 1,000 | 3.00 (3.00 - 3.00) |"));
    }
}
