//! From `[hh:mm]` and a file's date to seconds: days, midnight, and logs that go by a twelve-hour clock.
//!
//! A log is written in order, so time does not run backwards in it. When the clock on the lines does:
//! - by an hour or less, it was set back (or lines crossed): the line keeps the time of the one before it;
//! - in a log where no hour is 0 or above 12, it is a twelve-hour clock that went round (12:59, 01:00): 12 h later;
//! - otherwise it is past midnight: 24 h later.
//!
//! A name that goes on with an hour, `YYYY-MM-DD_HH`, speaks of the annotated part, which begins with line 1,000: that line
//! is of this date and hour, and what is above it may be of the evening before. A twelve-hour clock learns from the hour
//! which half of the day it shows. In a shorter log, and where line 1,000 is of another hour, the date is that of the
//! line all the same (of the first one in a shorter log); without an hour it is the date of the first line.
//!
//! Lines without a time have that of the line before them (before the first timed line: of that one).

const MINUTES_HALF_DAY: i64 = 12 * 60;
const MINUTES_DAY: i64 = 2 * MINUTES_HALF_DAY;
/// The first line that annotations speak of.
const ANNOTATED_FROM: usize = 1_000;
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

/// The hour that a name `YYYY-MM-DD_HH` speaks of.
pub(crate) fn hour_of(name: &str) -> Option<i64> {
    let digits = name.get(10..)?.strip_prefix('_')?;
    let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?.filter(|hour| *hour < 24)
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

/// Seconds since 1970-01-01 UTC for each line, never going back. `clock` holds minutes since midnight where known;
/// `midnight` and `hour` are those of the log's name.
pub(crate) fn times(midnight: i64, hour: Option<i64>, clock: &[Option<i64>]) -> Vec<i64> {
    let twelve_hours = clock.iter().flatten().all(|minutes| (60..60 * 13).contains(minutes));
    let period = if twelve_hours { MINUTES_HALF_DAY } else { MINUTES_DAY };
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
        times.push(newest);
    }
    let shift = hour.map_or(0, |hour| shift(hour, period, clock, &times));
    times.iter().map(|minutes| midnight + (minutes + shift) * 60).collect()
}

/// Minutes from the day of the first line to the day that the name speaks of, in a log whose times count from that of
/// the first line.
fn shift(hour: i64, period: i64, clock: &[Option<i64>], times: &[i64]) -> i64 {
    let timed = |from: usize| clock.iter().skip(from).position(Option::is_some).map(|place| place + from);
    let Some(at) = timed(ANNOTATED_FROM).or_else(|| timed(0)).map(|place| times[place]) else {
        return 0;
    };
    let is_of_hour = at.rem_euclid(period) / 60 == hour % (period / 60);
    if is_of_hour { hour * 60 + at % 60 - at } else { -at.div_euclid(MINUTES_DAY) * MINUTES_DAY }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(clock: &[(i64, i64)]) -> Vec<i64> {
        let clock: Vec<_> = clock.iter().map(|(h, m)| Some(h * 60 + m)).collect();
        times(0, None, &clock).iter().map(|t| t / 60).collect()
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

    /// A log whose line 1,000 shows `then`, after a first line that shows `first` and one in between.
    fn begins(hour: i64, first: (i64, i64), between: (i64, i64), then: (i64, i64)) -> (i64, i64) {
        let minutes = |(h, m): (i64, i64)| Some(h * 60 + m);
        let mut clock = vec![None; ANNOTATED_FROM];
        (clock[0], clock[500]) = (minutes(first), minutes(between));
        clock.push(minutes(then));
        let times = times(0, Some(hour), &clock);
        (times[0] / 60, times[ANNOTATED_FROM] / 60)
    }

    #[test]
    fn the_hour_of_the_name_is_that_of_the_annotated_part() {
        assert_eq!((hour_of("2004-11-15_03"), hour_of("2004-11-15"), hour_of("2004-11-15_24")), (Some(3), None, None));
        assert_eq!(begins(2, (21, 29), (23, 0), (2, 0)), (-151, 120), "the evening before");
        assert_eq!(begins(1, (11, 29), (12, 59), (1, 0)), (-31, 60), "the same on a twelve-hour clock");
        assert_eq!(begins(3, (12, 18), (1, 0), (3, 1)), (18, 181), "twelve at night");
        assert_eq!(begins(12, (9, 19), (10, 0), (12, 0)), (559, 720), "twelve at noon");
        assert_eq!(begins(17, (2, 3), (3, 0), (5, 0)), (843, 1020), "a twelve-hour clock in the afternoon");
        assert_eq!(begins(5, (21, 29), (23, 0), (2, 0)), (-151, 120), "another hour, and the date all the same");
    }

    #[test]
    fn lines_without_a_time_have_that_of_the_line_before() {
        assert_eq!(times(60, None, &[None, Some(600), None, Some(601)]), [36_060, 36_060, 36_060, 36_120]);
        assert_eq!(times(7, None, &[None]), [7]);
    }
}
