//! How ZooKeeper's Java prints numbers, addresses and dates, because scripts parse them.
use std::net::SocketAddr;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MS_PER_DAY: i64 = 86_400_000;

/// Appends formatted text to a string, which cannot fail.
macro_rules! put {
    ($text:expr, $($argument:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($text, $($argument)*);
    }};
}
pub(super) use put;

/// A floating-point number as `Double.toString` prints it (for the range of averages).
pub(super) fn java_double(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        let exponent = value.abs().log10().floor();
        let mantissa = value / 10f64.powf(exponent);
        return format!("{:?}E{exponent}", (mantissa * 1e12).round() / 1e12);
    }
    format!("{value:?}")
}

/// An address as `InetSocketAddress.toString` prints one that was never resolved to a name.
pub(super) fn java_address(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => format!("/{address}"),
        SocketAddr::V6(address) => {
            let groups: Vec<String> =
                address.ip().segments().iter().map(|group| format!("{group:x}")).collect();
            format!("/[{}]:{}", groups.join(":"), address.port())
        }
    }
}

/// A time as `Date.toString` prints it in UTC: `Sat Nov 22 18:07:00 UTC 2025`.
pub(super) fn java_date(wall_ms: i64) -> String {
    let days = wall_ms.div_euclid(MS_PER_DAY);
    let seconds = wall_ms.rem_euclid(MS_PER_DAY) / 1000;
    let (year, month, day) = civil(days);
    let mut text = String::new();
    put!(
        text,
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[(month - 1) as usize],
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    text
}

/// Year, month (1 to 12) and day of the month of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // The year is taken to begin in March, so that the leap day is its last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_look_like_javas() {
        for (value, text) in
            [(0.0, "0.0"), (1.0, "1.0"), (0.3333, "0.3333"), (0.0002, "2.0E-4"), (1234.5, "1234.5")]
        {
            assert_eq!(java_double(value), text);
        }
    }

    #[test]
    fn dates_look_like_javas() {
        assert_eq!(java_date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(java_date(951_782_399_000), "Mon Feb 28 23:59:59 UTC 2000");
        assert_eq!(java_date(951_827_696_000), "Tue Feb 29 12:34:56 UTC 2000");
        assert_eq!(java_date(1_763_834_820_000), "Sat Nov 22 18:07:00 UTC 2025");
    }

    #[test]
    fn addresses_look_like_javas() {
        let address = |text: &str| java_address(text.parse().expect("an address"));
        assert_eq!(address("127.0.0.1:80"), "/127.0.0.1:80");
        assert_eq!(address("[::1]:80"), "/[0:0:0:0:0:0:0:1]:80");
    }
}
