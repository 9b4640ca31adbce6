//! Durations as people write and read them: `90`, `60s`, `20m`, `10h`, `10d`, `1h30m`.

use std::time::Duration;

/// The longest that the contract can say, in seconds (about 10,000 years).
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;

/// Reads a duration: a number of seconds, or numbers with the units d, h, m and s.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} isn't a duration: write 90 (seconds), 60s, 20m, 10h, 10d or 1h30m");
    if text.starts_with('-') {
        return Err(format!("{text:?}: a duration can't be negative"));
    }
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    let mut units = 0;
    for letter in text.chars() {
        let too_long = || format!("{text:?}: a duration is at most 315576000000 seconds");
        if let Some(digit) = letter.to_digit(10) {
            let next = number
                .unwrap_or(0)
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(digit)));
            number = Some(next.ok_or_else(too_long)?);
            continue;
        }
        let seconds = match letter {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        let value = number.take().ok_or_else(wrong)?;
        total = value
            .checked_mul(seconds)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(too_long)?;
        units += 1;
    }
    match (number, units) {
        // A number alone is seconds; a number after a unit lacks its own.
        (Some(seconds), 0) => total = seconds,
        (None, 1..) => {}
        _ => return Err(wrong()),
    }
    if total > DURATION_SECONDS_MAX {
        return Err(format!(
            "{text:?}: a duration is at most 315576000000 seconds"
        ));
    }
    Ok(Duration::from_secs(total))
}

/// Shows seconds the way Vault's tables do: 768h, 1h30m, 59m59s, 0s.
pub(crate) fn show(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = match (hours, minutes, seconds) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, 0) => format!("{hours}h{minutes}m"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("90", 90),
            ("0", 0),
            ("60s", 60),
            ("20m", 1200),
            ("10h", 36_000),
            ("10d", 864_000),
            ("1h30m", 5_400),
            ("1d2h3m4s", 93_784),
            ("315576000000", DURATION_SECONDS_MAX),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "h",
            "10x",
            "-5s",
            "1h30",
            "1.5h",
            " 1h",
            "1h ",
            "10 h",
            "٣s",
            "1ms",
            "99999999999999999999",
            "9999999999999999d",
            "315576000001",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("-5s").unwrap_err().contains("negative"));
    }

    #[test]
    fn durations_are_shown() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m59s"),
            (3600, "1h"),
            (3605, "1h0m5s"),
            (5400, "1h30m"),
            (2_764_800, "768h"),
            (-5, "-5s"),
        ] {
            assert_eq!(show(seconds), text);
        }
    }
}
