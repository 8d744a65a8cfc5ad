//! From `[hh:mm]` and a file's date to seconds: days, midnight, and logs that go by a twelve-hour clock.
//!
//! A log is written in order, so time does not run backwards in it. When the clock on the lines does:
//! - by an hour or less, it was set back (or lines crossed): the line keeps the time of the one before it;
//! - in a log where no hour is 0 or above 12, it is a twelve-hour clock that went round (12:59, 01:00): 12 h later;
//! - otherwise it is past midnight: 24 h later.
//!
//! Lines without a time have that of the line before them (before the first timed line: of that one).

const MINUTES_HALF_DAY: i64 = 12 * 60;
/// Greatest step back that is a clock being set, in minutes.
const SET_BACK_MAX: i64 = 60;

/// Seconds since 1970-01-01 UTC of the midnight that a name beginning with `YYYY-MM-DD` speaks of.
pub(crate) fn midnight_of(name: &str) -> Option<i64> {
    let date = name.get(..10)?;
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let digits = |text: &str, len: usize| {
        (text.len() == len && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<i64>().ok())?
    };
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let valid = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    valid.then(|| days_from_epoch(year, month, day) * 86_400)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counting years from March so that leap days come last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + leap_days + day_of_year - 719_468
}

/// Seconds since 1970-01-01 UTC for each line, never going back. `clock` holds minutes since midnight where known.
pub(crate) fn times(midnight: i64, clock: &[Option<i64>]) -> Vec<i64> {
    let twelve_hours = clock.iter().flatten().all(|minutes| (60..60 * 13).contains(minutes));
    let period = if twelve_hours { MINUTES_HALF_DAY } else { 2 * MINUTES_HALF_DAY };
    let mut newest = clock.iter().copied().flatten().next().unwrap_or(0);
    let mut rounds = 0;
    let mut times = Vec::with_capacity(clock.len());
    for minutes in clock {
        if let Some(minutes) = minutes {
            let mut now = minutes + rounds;
            while now + SET_BACK_MAX < newest {
                rounds += period;
                now += period;
            }
            newest = newest.max(now);
        }
        times.push(midnight + newest * 60);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(clock: &[(i64, i64)]) -> Vec<i64> {
        let clock: Vec<_> = clock.iter().map(|(h, m)| Some(h * 60 + m)).collect();
        times(0, &clock).iter().map(|t| t / 60).collect()
    }

    #[test]
    fn dates_become_days() {
        assert_eq!(midnight_of("1970-01-01_00"), Some(0));
        assert_eq!(midnight_of("2004-11-15_03"), Some(1_100_476_800));
        assert_eq!(midnight_of("2016-12-19"), Some(1_482_105_600));
        assert_eq!(midnight_of("2000-02-29x"), Some(951_782_400));
        for bad in ["", "2004-11", "2004-13-01", "2005-02-29", "x004-11-15", "2004-1-015", "２００４-11-15"] {
            assert_eq!(midnight_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn midnight_rolls_over() {
        assert_eq!(minutes(&[(23, 58), (0, 1), (0, 2)]), [1438, 1441, 1442]);
    }

    #[test]
    fn a_twelve_hour_clock_goes_round_in_twelve_hours() {
        assert_eq!(minutes(&[(12, 59), (1, 0), (12, 1), (1, 5)]), [779, 780, 1441, 1505]);
        // The same step in a log that also has a 15th hour is a day.
        assert_eq!(minutes(&[(15, 0), (1, 0)]), [900, 1500]);
    }

    #[test]
    fn a_clock_set_back_keeps_the_time_before() {
        assert_eq!(minutes(&[(15, 0), (14, 58), (15, 1)]), [900, 900, 901]);
    }

    #[test]
    fn lines_without_a_time_have_that_of_the_line_before() {
        assert_eq!(times(60, &[None, Some(600), None, Some(601)]), [36_060, 36_060, 36_060, 36_120]);
        assert_eq!(times(7, &[None]), [7]);
    }
}
