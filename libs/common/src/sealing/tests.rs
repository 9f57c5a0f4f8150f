use std::fs;

use proptest::prelude::*;

use super::answer::is_sealed_answer;
use super::*;

const FIRST: &str = "2026-01 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECOND: &str = "2026-02 AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

fn ring(lines: &[&str]) -> KeyRing {
    KeyRing::parse(&lines.join("\n")).unwrap()
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "personal_data",
        column: "given_name",
        row,
    }
}

fn owner(id: &str) -> Owner<'_> {
    Owner {
        table: "data_key",
        id,
    }
}

fn is_broken<T: std::fmt::Debug>(opened: Result<T, SealError>) -> bool {
    matches!(
        opened.unwrap_err(),
        SealError::Broken { .. } | SealError::DataKeyBroken { .. }
    )
}

#[test]
fn the_first_key_is_current_and_the_rest_is_known() {
    let ring = ring(&["# made by hand", "", SECOND, FIRST]);
    assert_eq!(ring.current(), "2026-02");
    assert_eq!(ring.ids().collect::<Vec<_>>(), ["2026-01", "2026-02"]);
}

#[test]
fn what_is_wrong_with_a_ring_is_told_by_line_and_without_secrets() {
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (text, says) in [
        (String::new(), "openssl rand -base64 32"),
        ("# only words".to_owned(), "no key"),
        (format!("{FIRST}\n{secret}"), "line 2: must be an id"),
        (format!("{FIRST}\na AAEC"), "line 2: the key a must be 32"),
        (format!("\n{secret}x y"), "line 2: the id must"),
        (
            format!("a {secret}{secret}"),
            "line 1: the key a must be 32",
        ),
        (format!("a {secret} b"), "line 1: the key a must be 32"),
        (
            format!("{FIRST}\n2026-01 {}", &SECOND[8..]),
            "line 2: id 2026-01 is given twice",
        ),
        (
            format!("{FIRST}\nother {secret}"),
            "line 2: the key of line 1",
        ),
        (
            format!("{} {secret}", "x".repeat(65)),
            "line 1: the id must",
        ),
    ] {
        let error = KeyRing::parse(&text).unwrap_err();
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("AAECAwQF"), "{error}");
    }
    let shown = format!("{:?} {:?}", ring(&[FIRST]), DataKey::generate().unwrap());
    assert!(!shown.contains("AAEC") && !shown.contains('['), "{shown}");
}

#[test]
fn a_made_file_is_read_and_kept_to_oneself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    make_file(&file, "first").unwrap();
    let keys = Keys::file("test-keys", file.clone()).unwrap();
    assert_eq!(keys.ring().current(), "first");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    make_file(&file, "first").unwrap();
    assert_ne!(fs::read_to_string(&file).unwrap(), text);
    make_file(&folder.path().join("no/keys"), "first").unwrap_err();
    let error = Keys::file("test-keys", folder.path().join("none")).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn a_data_key_is_its_owners_alone_and_outlives_the_key_it_is_wrapped_under() {
    let first = ring(&[FIRST]);
    let key = DataKey::generate().unwrap();
    let sealed = key.seal(place("c1"), "Ann").unwrap();
    let wrapped = first.wrap(owner("c1"), &key).unwrap();
    assert_eq!(wrapped.key_id, "2026-01");
    assert!(is_broken(first.unwrap(owner("c2"), &wrapped)));
    let renamed = Wrapped {
        key_id: "2026-02".to_owned(),
        bytes: wrapped.bytes.clone(),
    };
    let both = ring(&[SECOND, FIRST]);
    assert!(is_broken(both.unwrap(owner("c1"), &renamed)));
    let again = both.unwrap(owner("c1"), &wrapped).unwrap();
    let again = both.wrap(owner("c1"), &again).unwrap();
    assert_eq!(again.key_id, "2026-02");
    let second = ring(&[SECOND]);
    let error = second.unwrap(owner("c1"), &wrapped).unwrap_err();
    assert!(matches!(&error, SealError::KeyMissing { key_id } if key_id == "2026-01"));
    let opened = second.unwrap(owner("c1"), &again).unwrap();
    assert_eq!(opened.open(place("c1"), &sealed).unwrap(), "Ann");
}

#[test]
fn a_cell_opens_in_its_place_only() {
    let key = DataKey::generate().unwrap();
    let sealed = key.seal(place("c1"), "Ann").unwrap();
    for elsewhere in [
        place("c2"),
        Place {
            column: "family_name",
            ..place("c1")
        },
        Place {
            table: "interaction",
            ..place("c1")
        },
        // The same letters, cut elsewhere.
        Place {
            table: "personal_datag",
            column: "iven_name",
            row: "c1",
        },
    ] {
        assert!(is_broken(key.open(elsewhere, &sealed)), "{elsewhere:?}");
    }
    let other = DataKey::generate().unwrap();
    assert!(is_broken(other.open(place("c1"), &sealed)));
    for bytes in [&[][..], &[1], &[1; 12], &[2; 60]] {
        assert!(is_broken(key.open(place("c1"), bytes)));
    }
}

#[test]
fn one_word_is_as_long_as_another() {
    let key = DataKey::generate().unwrap();
    let len = |text: &str| key.seal(place("c"), text).unwrap().len();
    assert_eq!(len(""), len("undisclosed"));
    assert_eq!(len("female"), len(&"x".repeat(31)));
    assert!(len(&"x".repeat(32)) > len(""));
    assert_ne!(
        key.seal(place("c"), "Ann").unwrap(),
        key.seal(place("c"), "Ann").unwrap()
    );
}

#[test]
fn an_answer_opens_in_its_place_under_its_key() {
    let ring_of_one = ring(&[FIRST]);
    let sealed = ring_of_one.seal_answer(place("r1"), b"answer").unwrap();
    assert!(
        is_sealed_answer(&sealed) && !is_sealed_answer(b"\x0aanswer") && !is_sealed_answer(b"")
    );
    let both = ring(&[SECOND, FIRST]);
    assert_eq!(both.open_answer(place("r1"), &sealed).unwrap(), b"answer");
    assert!(is_broken(both.open_answer(place("r2"), &sealed)));
    assert!(is_broken(both.open_answer(place("r1"), &sealed[..20])));
    let missing = ring(&[SECOND])
        .open_answer(place("r1"), &sealed)
        .unwrap_err();
    assert!(matches!(missing, SealError::KeyMissing { .. }));
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        both.open_answer(place("r1"), &changed).unwrap_err();
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_no_changed_bit_of_it(text in ".{0,80}", row in ".{0,20}", at in any::<prop::sample::Index>()) {
        let key = DataKey::generate().unwrap();
        let sealed = key.seal(place(&row), &text).unwrap();
        prop_assert_eq!(key.open(place(&row), &sealed).unwrap(), text);
        let bit = at.index(sealed.len() * 8);
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(is_broken(key.open(place(&row), &changed)));
        let cut = at.index(sealed.len());
        prop_assert!(is_broken(key.open(place(&row), &sealed[..cut])));
        if !row.is_empty() {
            let mut moved = row.clone().into_bytes();
            let bit = at.index(moved.len() * 8);
            moved[bit / 8] ^= 1 << (bit % 8);
            let moved = String::from_utf8_lossy(&moved).into_owned();
            prop_assert!(moved == row || is_broken(key.open(place(&moved), &sealed)));
        }
    }

    #[test]
    fn no_changed_bit_of_a_wrapped_key_goes_unnoticed(id in "[a-z0-9-]{1,64}", at in any::<prop::sample::Index>()) {
        let ring = ring(&[FIRST]);
        let wrapped = ring.wrap(owner(&id), &DataKey::generate().unwrap()).unwrap();
        ring.unwrap(owner(&id), &wrapped).unwrap();
        let bit = at.index(wrapped.bytes.len() * 8);
        let mut changed = wrapped.clone();
        changed.bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(is_broken(ring.unwrap(owner(&id), &changed)));
    }
}
