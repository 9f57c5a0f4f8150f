//! The forms of text that callers may send.

/// Free text on one line, at most `chars_max` characters, possibly empty.
pub fn line(text: &str, chars_max: usize) -> Result<String, String> {
    // Control characters break terminals and logs, and PostgreSQL cannot store NUL.
    if text.chars().any(char::is_control) || text.chars().count() > chars_max {
        return Err(format!(
            "must be at most {chars_max} characters without control characters"
        ));
    }
    Ok(text.to_owned())
}

/// As `line`, and neither empty nor blank.
pub fn required(text: &str, chars_max: usize) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(format!("must be given: 1 to {chars_max} characters"));
    }
    line(text, chars_max)
}

/// As `required`, without spaces at the ends: for values that are compared.
pub fn trimmed(text: &str, chars_max: usize) -> Result<String, String> {
    if text != text.trim() {
        return Err("must not begin or end with spaces".to_owned());
    }
    required(text, chars_max)
}

/// A key of a custom attribute: 1 to 64 of `[A-Za-z0-9._-]`.
pub fn name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err("must have keys of 1 to 64 characters of A-Z a-z 0-9 . _ -".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_characters_and_control_characters_are_refused() {
        assert!(line("ééé", 3).is_ok());
        assert!(line("éééé", 3).is_err());
        assert!(line("a\0b", 9).is_err());
        assert!(required("  ", 9).is_err());
        assert!(trimmed("a ", 9).is_err());
        assert!(name("a b").is_err());
    }
}
