//! rust-mailing cleans a mailing list: {"addresses":["..."]} in the request's body or
//! the payload. Addresses are trimmed, domains lower-cased, duplicates dropped; what is
//! no address is listed with the reason.

use runnel::Json;
use std::collections::HashSet;

pub fn handle(event: &Json) -> Result<Json, String> {
    let body = event.get("body");
    let order = if body.is_null() { event.get("payload") } else { body };
    let list = match order.get("addresses") {
        Json::Array(list) => list,
        _ => return Err("there is no array addresses in the body or payload".into()),
    };
    let (mut kept, mut refused, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    let mut duplicates = 0;
    for entry in list {
        match entry.text().ok_or("it is no text").and_then(clean) {
            Ok(address) if seen.insert(address.to_lowercase()) => kept.push(address.into()),
            Ok(_) => duplicates += 1,
            Err(reason) => refused.push(Json::object([("address", entry.clone()), ("reason", reason.into())])),
        }
    }
    if !refused.is_empty() {
        runnel::log(runnel::Level::Info, &format!("refused {} of {}", refused.len(), list.len()));
    }
    Ok(Json::object([
        ("addresses", Json::Array(kept)),
        ("duplicates", Json::from(duplicates as i64)),
        ("refused", Json::Array(refused)),
    ]))
}

fn clean(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@').ok_or("it has no @")?;
    if local.is_empty() || local.len() > 64 || local.contains(|c: char| c.is_whitespace() || c == '@') {
        return Err("the part before the @ is wrong");
    }
    let label = |l: &str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-') && l.chars().all(|c| c.is_alphanumeric() || c == '-');
    if !domain.contains('.') || domain.len() > 253 || !domain.split('.').all(label) {
        return Err("the domain is wrong");
    }
    Ok(format!("{}@{}", local, domain.to_lowercase()))
}
