//! A customer as a caller sends it.

use api::customer::v1 as pb;
use chrono::{Datelike as _, NaiveDate};
use common::time::Timestamp;
use common::validate::Violations;

use crate::domain::{
    ATTRIBUTES_MAX, Address, Contact, ContactKind, EXTERNAL_IDS_MAX, Gender, Personal, Profile,
    line, name, required, trimmed,
};

const NAME_CHARS_MAX: usize = 200;
const CONTACTS_MAX: usize = 50;
const ADDRESS_LINES_MAX: usize = 5;
const TAGS_MAX: usize = 50;
const BIRTH_YEAR_MIN: i32 = 1850;

/// Reads what callers may set; what is wrong is recorded under `path` and reads as empty.
pub fn parse(
    violations: &mut Violations,
    path: &str,
    customer: pb::Customer,
    now: Timestamp,
) -> Profile {
    let mut fields = Fields { violations, path };
    let profile = Profile {
        industry: fields.line("industry", &customer.industry, 100),
        source: fields.line("source", &customer.source, 100),
        personal: personal(&mut fields, &customer, now),
        tags: fields
            .at_most("tags", customer.tags.len(), TAGS_MAX)
            .then_some(&customer.tags)
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(i, tag)| fields.parse(&format!("tags[{i}]"), trimmed(tag, 64)))
            .collect(),
        attributes: customer.attributes,
        external_ids: customer.external_ids,
    };
    if fields.at_most("attributes", profile.attributes.len(), ATTRIBUTES_MAX) {
        for (key, value) in &profile.attributes {
            fields.parse("attributes", name(key));
            fields.parse(&format!("attributes.{key}"), line(value, 1000));
        }
    }
    if fields.at_most("external_ids", profile.external_ids.len(), EXTERNAL_IDS_MAX) {
        for (source, id) in &profile.external_ids {
            fields.parse("external_ids", trimmed(source, 64));
            fields.parse(&format!("external_ids.{source}"), trimmed(id, 128));
        }
    }
    profile
}

struct Fields<'a> {
    violations: &'a mut Violations,
    path: &'a str,
}

impl Fields<'_> {
    fn parse<T: Default>(&mut self, field: &str, parsed: Result<T, String>) -> T {
        self.violations
            .check(format!("{}{field}", self.path), parsed)
            .unwrap_or_default()
    }

    fn line(&mut self, field: &str, text: &str, chars_max: usize) -> String {
        self.parse(field, line(text, chars_max))
    }

    fn at_most(&mut self, field: &str, count: usize, max: usize) -> bool {
        let fits = count <= max;
        let checked = if fits {
            Ok(())
        } else {
            Err(format!("must be at most {max}"))
        };
        self.parse(field, checked);
        fits
    }
}

fn personal(fields: &mut Fields<'_>, customer: &pb::Customer, now: Timestamp) -> Personal {
    let person = customer.name.clone().unwrap_or_default();
    Personal {
        display_name: fields.line("name.display_name", &person.display_name, NAME_CHARS_MAX),
        given_name: fields.line("name.given_name", &person.given_name, NAME_CHARS_MAX),
        family_name: fields.line("name.family_name", &person.family_name, NAME_CHARS_MAX),
        contacts: contacts(fields, &customer.contacts),
        address: address(fields, &customer.address.clone().unwrap_or_default()),
        birth_date: fields.parse("birth_date", birth_date(&customer.birth_date, now)),
        gender: fields.parse("gender", gender(customer.gender)),
    }
}

fn contacts(fields: &mut Fields<'_>, contacts: &[pb::Contact]) -> Vec<Contact> {
    if !fields.at_most("contacts", contacts.len(), CONTACTS_MAX) {
        return Vec::new();
    }
    let mut parsed: Vec<Contact> = Vec::new();
    for (i, contact) in contacts.iter().enumerate() {
        let value = fields.parse(
            &format!("contacts[{i}].value"),
            trimmed(&contact.value, 320),
        );
        let label = fields.line(&format!("contacts[{i}].label"), &contact.label, 64);
        let Some(kind) = fields.parse(&format!("contacts[{i}].type"), contact_kind(contact.r#type))
        else {
            continue;
        };
        if !value.is_empty() {
            let form = kind.check(&value).map_err(str::to_owned);
            fields.parse(&format!("contacts[{i}].value"), form);
        }
        let repeated = parsed
            .iter()
            .any(|other| other.kind == kind && other.value == value);
        let unique = if repeated {
            Err("must be given once".to_owned())
        } else {
            Ok(())
        };
        fields.parse(&format!("contacts[{i}]"), unique);
        parsed.push(Contact { kind, value, label });
    }
    parsed
}

fn contact_kind(kind: i32) -> Result<Option<ContactKind>, String> {
    match pb::ContactType::try_from(kind) {
        Ok(pb::ContactType::Email) => Ok(Some(ContactKind::Email)),
        Ok(pb::ContactType::Phone) => Ok(Some(ContactKind::Phone)),
        Ok(pb::ContactType::Mobile) => Ok(Some(ContactKind::Mobile)),
        Ok(pb::ContactType::Messenger) => Ok(Some(ContactKind::Messenger)),
        Ok(pb::ContactType::Social) => Ok(Some(ContactKind::Social)),
        Ok(pb::ContactType::Web) => Ok(Some(ContactKind::Web)),
        Ok(pb::ContactType::Other) => Ok(Some(ContactKind::Other)),
        Ok(pb::ContactType::Unspecified) | Err(_) => Err("must be a known type".to_owned()),
    }
}

fn address(fields: &mut Fields<'_>, address: &pb::PostalAddress) -> Address {
    let mut lines = Vec::new();
    if fields.at_most("address.lines", address.lines.len(), ADDRESS_LINES_MAX) {
        for (i, text) in address.lines.iter().enumerate() {
            lines.push(fields.parse(&format!("address.lines[{i}]"), required(text, 200)));
        }
    }
    Address {
        lines,
        city: fields.line("address.city", &address.city, 200),
        region: fields.line("address.region", &address.region, 200),
        postal_code: fields.line("address.postal_code", &address.postal_code, 32),
        country_code: fields.parse("address.country_code", country(&address.country_code)),
    }
}

fn country(code: &str) -> Result<String, String> {
    if code.is_empty() || (code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())) {
        return Ok(code.to_owned());
    }
    Err("must be an ISO 3166-1 code of two upper-case letters, such as DE".to_owned())
}

fn birth_date(text: &str, now: Timestamp) -> Result<Option<NaiveDate>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    // Parsing is lenient about leading zeros and signs: what is stored is what was sent.
    date.filter(|date| date.to_string() == text)
        .filter(|date| date.year() >= BIRTH_YEAR_MIN && *date <= now.to_chrono().date_naive())
        .map(Some)
        .ok_or_else(|| "must be a date as YYYY-MM-DD from 1850-01-01 to today".to_owned())
}

fn gender(gender: i32) -> Result<Gender, String> {
    match pb::Gender::try_from(gender) {
        Ok(pb::Gender::Unspecified) => Ok(Gender::Unknown),
        Ok(pb::Gender::Female) => Ok(Gender::Female),
        Ok(pb::Gender::Male) => Ok(Gender::Male),
        Ok(pb::Gender::Other) => Ok(Gender::Other),
        Ok(pb::Gender::Undisclosed) => Ok(Gender::Undisclosed),
        Err(_) => Err("must be a known gender".to_owned()),
    }
}
