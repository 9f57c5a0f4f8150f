//! Numbers as people read them.

/// Dollars and cents of micros, for example `244,091.94`.
pub fn dollars(micros: i64) -> String {
    let cents = micros / 10_000;
    format!("{}.{:02}", grouped(cents / 100), (cents % 100).abs())
}

/// With a comma between thousands.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    format!("{}{}", if number < 0 { "-" } else { "" }, groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_and_cents_kept() {
        assert_eq!(dollars(244_091_940_000), "244,091.94");
        assert_eq!(dollars(50_000), "0.05");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(-12), "-12");
        assert_eq!(grouped(0), "0");
    }
}
