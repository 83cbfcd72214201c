//! The plots: horizontal bars on a logarithmic scale, ours and the peer's, as SVG.
use super::figures::{P50_US, P99_US, P999_US, PER_CPU_SECOND, RSS_MIB, TOOK_MS};
use super::ratios::{comparisons, judged};
use super::report::number;
use super::store::{Record, Store};
use anyhow::{Context as _, Result, anyhow};
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE};
use std::path::Path;

/// The plot of the reach, as a path below the root of the checkout.
pub(crate) const HEADLINE: &str = "bench/plots/headline.svg";
/// The others, with their titles.
pub(crate) const OTHERS: [(&str, &str); 4] = [
    ("bench/plots/cpu.svg", "Operations per second of server CPU (more is better)"),
    ("bench/plots/latency.svg", "Latency in microseconds (less is better)"),
    ("bench/plots/memory.svg", "Resident memory in MiB (less is better)"),
    ("bench/plots/recovery.svg", "Start and recovery in milliseconds (less is better)"),
];

const OURS: RGBColor = RGBColor(15, 118, 110);
const THEIRS: RGBColor = RGBColor(160, 160, 160);
const GOAL: RGBColor = RGBColor(200, 50, 50);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const WIDTH: i32 = 960;
/// For the labels, and for the numbers behind the bars.
const LEFT: i32 = 420;
const RIGHT: i32 = 90;
const TOP: i32 = 64;
const BOTTOM: i32 = 14;
const BAR: i32 = 11;
const GAP: i32 = 7;
const FONT: i32 = 12;
const TITLE_FONT: i32 = 16;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One label with its bars.
struct Row {
    label: String,
    ours: f64,
    theirs: Option<f64>,
    /// A mark on the scale.
    goal: Option<f64>,
}

/// What the bars of a plot are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Ours and the peer's value, from the left.
    Pairs,
    /// How many times better ours is: to the right of 1 if it is, to the left if it is worse.
    Advantages,
}

/// Draws all plots.
pub(crate) fn draw(store: &Store, root: &Path) -> Result<()> {
    std::fs::create_dir_all(root.join("bench").join("plots")).context("making bench/plots")?;
    let title =
        "How many times better than the peer, by the weakest workload of each goal; the mark is the goal";
    bars(&root.join(HEADLINE), title, &headline(store), Form::Advantages)?;
    let [cpu, latency, memory, recovery] = OTHERS;
    let is_open = |record: &Record| {
        record.name.contains("/open/")
            || record.name.contains("end-to-end")
            || record.name.starts_with("integration")
    };
    // The other points of the matrix are in the tables.
    let is_plain = |record: &Record| {
        !["/100p/", "/2000p/", "/1x1/", "/open/"].iter().any(|part| record.name.contains(part))
    };
    let plots = [
        (cpu, rows(store, &[PER_CPU_SECOND], is_plain)),
        (latency, rows(store, &[P50_US, P99_US, P999_US], is_open)),
        (memory, rows(store, &[RSS_MIB], |_| true)),
        (recovery, rows(store, &[TOOK_MS], |_| true)),
    ];
    plots.iter().try_for_each(|((name, title), rows)| bars(&root.join(name), title, rows, Form::Pairs))
}

/// The weakest workload of every row of the reach.
fn headline(store: &Store) -> Vec<Row> {
    let judged = judged(&store.records);
    let mut weakest: Vec<&super::ratios::Judged<'_>> = Vec::new();
    for one in &judged {
        match weakest
            .iter_mut()
            .find(|other| other.goal.row == one.goal.row && other.record.peer == one.record.peer)
        {
            Some(other) if one.share() < other.share() => *other = one,
            Some(_) => {}
            None => weakest.push(one),
        }
    }
    let row = |one: &&super::ratios::Judged<'_>| Row {
        label: format!("{} ({:?})", one.goal.row, one.record.peer),
        ours: one.ratio.advantage(one.better),
        theirs: None,
        goal: Some(one.wanted()),
    };
    weakest.iter().map(row).collect()
}

/// The named figures of the workloads that have them.
fn rows(store: &Store, figures: &[&str], wanted: impl Fn(&Record) -> bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for record in store.records.iter().filter(|record| wanted(record)) {
        let comparisons = comparisons(record);
        for figure in figures {
            let Some(found) = comparisons.iter().find(|comparison| comparison.figure == *figure) else {
                continue;
            };
            let label =
                if figures.len() == 1 { record.name.clone() } else { format!("{} {figure}", record.name) };
            rows.push(Row { label, ours: found.ours, theirs: found.theirs, goal: None });
        }
    }
    rows
}

/// Where values are: powers of ten are at equal distances.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(rows: &[Row]) -> Scale {
        let values = || {
            rows.iter()
                .flat_map(|row| [Some(row.ours), row.theirs, row.goal])
                .flatten()
                .filter(|value| *value > 0.0)
        };
        let low = values().fold(f64::INFINITY, f64::min).log10().floor();
        let high = values().fold(0.0, f64::max).log10().ceil();
        if low.is_finite() && high > low { Scale { low, high } } else { Scale { low: 0.0, high: 1.0 } }
    }

    fn x(&self, value: f64) -> i32 {
        let share = (value.log10().clamp(self.low, self.high) - self.low) / (self.high - self.low);
        LEFT + (share * f64::from(WIDTH - LEFT - RIGHT)) as i32
    }
}

fn bars(path: &Path, title: &str, rows: &[Row], form: Form) -> Result<()> {
    let step = if form == Form::Pairs { 2 * BAR + GAP } else { BAR + GAP };
    let height = TOP + step * i32::try_from(rows.len())? + BOTTOM;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    let drawn = (|| {
        area.fill(&WHITE)?;
        let scale = Scale::of(rows);
        grid(&area, &scale, height)?;
        write(&area, title, (GAP, GAP), TITLE_FONT, INK)?;
        if form == Form::Pairs {
            legend(&area)?;
        }
        for (index, row) in rows.iter().enumerate() {
            let top = TOP + step * index as i32;
            write(&area, &row.label, (GAP, top), FONT, INK)?;
            match form {
                Form::Pairs => pair(&area, &scale, row, top)?,
                Form::Advantages => advantage(&area, &scale, row, top)?,
            }
        }
        area.present()
    })();
    drawn.map_err(|error| anyhow!("drawing {}: {error}", path.display()))
}

type Drawn<'a> = std::result::Result<
    (),
    plotters::drawing::DrawingAreaErrorKind<<SVGBackend<'a> as plotters::backend::DrawingBackend>::ErrorType>,
>;

fn write<'a>(area: &Area<'a>, text: &str, at: (i32, i32), size: i32, color: RGBColor) -> Drawn<'a> {
    let style = TextStyle::from(("sans-serif", size).into_font()).color(&color);
    area.draw(&Text::new(text.to_owned(), at, style))
}

fn bar<'a>(area: &Area<'a>, ends: (i32, i32), top: i32, color: RGBColor) -> Drawn<'a> {
    area.draw(&Rectangle::new([(ends.0, top), (ends.1, top + BAR - 1)], color.filled()))
}

fn pair<'a>(area: &Area<'a>, scale: &Scale, row: &Row, top: i32) -> Drawn<'a> {
    let values = [(Some(row.ours), top, OURS), (row.theirs, top + BAR, THEIRS)];
    for (value, top, color) in values {
        let Some(value) = value else { continue };
        let end = scale.x(value);
        bar(area, (LEFT, end), top, color)?;
        write(area, &number(value), (end + 4, top - 1), FONT, INK)?;
    }
    Ok(())
}

fn advantage<'a>(area: &Area<'a>, scale: &Scale, row: &Row, top: i32) -> Drawn<'a> {
    let (even, end) = (scale.x(1.0), scale.x(row.ours));
    bar(area, (even.min(end), even.max(end)), top, OURS)?;
    let mut right = even.max(end);
    if let Some(goal) = row.goal {
        let x = scale.x(goal);
        let style = ShapeStyle::from(&GOAL).stroke_width(2);
        area.draw(&PathElement::new([(x, top - 2), (x, top + BAR + 1)], style))?;
        right = right.max(x);
    }
    write(area, &number(row.ours), (right + 6, top - 1), FONT, INK)
}

fn grid<'a>(area: &Area<'a>, scale: &Scale, height: i32) -> Drawn<'a> {
    for power in scale.low as i32..=scale.high as i32 {
        let value = 10_f64.powi(power);
        let x = scale.x(value);
        area.draw(&PathElement::new([(x, TOP - 8), (x, height - BOTTOM)], GRID))?;
        let label = if power < 0 { value.to_string() } else { format!("{value:.0}") };
        write(area, &label, (x + 2, TOP - 22), FONT, INK)?;
    }
    Ok(())
}

fn legend<'a>(area: &Area<'a>) -> Drawn<'a> {
    for (index, (name, color)) in [("Zoolog", OURS), ("peer", THEIRS)].into_iter().enumerate() {
        let left = WIDTH - 180 + 90 * index as i32;
        area.draw(&Rectangle::new([(left, GAP + 2), (left + BAR, GAP + 2 + BAR)], color.filled()))?;
        write(area, name, (left + BAR + 4, GAP + 2), FONT, INK)?;
    }
    Ok(())
}
