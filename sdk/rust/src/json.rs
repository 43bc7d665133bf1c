use std::fmt;

/// A JSON value. Numbers are kept as they are written, so that none loses digits;
/// members of objects keep their order, and of keys that repeat `get` finds the first.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

static NULL: Json = Json::Null;
const MAX_DEPTH: usize = 128;

impl Json {
    /// Reads JSON.
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut r = Reader { s: text.as_bytes(), i: 0 };
        let value = r.value(0)?;
        r.space();
        if r.i < r.s.len() {
            return Err(r.problem("something follows the value"));
        }
        Ok(value)
    }

    /// An object of these members.
    pub fn object<'a, I: IntoIterator<Item = (&'a str, Json)>>(members: I) -> Json {
        Json::Object(members.into_iter().map(|(k, v)| (k.to_string(), v)).collect())
    }

    /// A member of an object, Null when there is none.
    pub fn get(&self, key: &str) -> &Json {
        match self {
            Json::Object(m) => m.iter().find(|(k, _)| k == key).map_or(&NULL, |(_, v)| v),
            _ => &NULL,
        }
    }

    /// The entries of an array; none for anything else.
    pub fn entries(&self) -> &[Json] {
        match self {
            Json::Array(a) => a,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(s) => Some(s),
            _ => None,
        }
    }

    /// A number, as f64 or an integer type: `value.number::<i64>()`. None when it is no
    /// number or does not fit.
    pub fn number<T: std::str::FromStr>(&self) -> Option<T> {
        match self {
            Json::Number(n) => n.parse().ok(),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        *self == Json::Null
    }
}

impl From<&str> for Json {
    fn from(s: &str) -> Json {
        Json::Text(s.to_string())
    }
}

impl From<String> for Json {
    fn from(s: String) -> Json {
        Json::Text(s)
    }
}

impl From<bool> for Json {
    fn from(b: bool) -> Json {
        Json::Bool(b)
    }
}

impl From<i64> for Json {
    fn from(n: i64) -> Json {
        Json::Number(n.to_string())
    }
}

impl From<usize> for Json {
    fn from(n: usize) -> Json {
        Json::Number(n.to_string())
    }
}

impl From<Vec<Json>> for Json {
    fn from(a: Vec<Json>) -> Json {
        Json::Array(a)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(b) => write!(f, "{}", b),
            Json::Number(n) => f.write_str(n),
            Json::Text(s) => quote(f, s),
            Json::Array(a) => {
                f.write_str("[")?;
                for (i, v) in a.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    v.fmt(f)?;
                }
                f.write_str("]")
            }
            Json::Object(m) => {
                f.write_str("{")?;
                for (i, (k, v)) in m.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    quote(f, k)?;
                    f.write_str(":")?;
                    v.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, s: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut from = 0;
    for (i, c) in s.bytes().enumerate() {
        if c != b'"' && c != b'\\' && c >= b' ' {
            continue;
        }
        f.write_str(&s[from..i])?;
        match c {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            _ => write!(f, "\\u{:04x}", c)?,
        }
        from = i + 1;
    }
    f.write_str(&s[from..])?;
    f.write_str("\"")
}

struct Reader<'a> {
    s: &'a [u8],
    i: usize,
}

impl<'a> Reader<'a> {
    fn problem(&self, what: &str) -> String {
        format!("not JSON at byte {}: {}", self.i, what)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.i += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.s.get(self.i).copied()
    }

    fn take(&mut self, c: u8) -> bool {
        self.space();
        let found = self.peek() == Some(c);
        self.i += found as usize;
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err(self.problem("nested too deep"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => {
                self.i += 1;
                let mut members = Vec::new();
                while !self.take(b'}') {
                    if !members.is_empty() && !self.take(b',') {
                        return Err(self.problem("a comma is missing"));
                    }
                    self.space();
                    let key = self.string()?;
                    if !self.take(b':') {
                        return Err(self.problem("a colon is missing"));
                    }
                    members.push((key, self.value(depth + 1)?));
                }
                Ok(Json::Object(members))
            }
            Some(b'[') => {
                self.i += 1;
                let mut entries = Vec::new();
                while !self.take(b']') {
                    if !entries.is_empty() && !self.take(b',') {
                        return Err(self.problem("a comma is missing"));
                    }
                    entries.push(self.value(depth + 1)?);
                }
                Ok(Json::Array(entries))
            }
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => {
                let from = self.i;
                while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    self.i += 1;
                }
                let text = std::str::from_utf8(&self.s[from..self.i]).unwrap_or("");
                match text.parse::<f64>() {
                    Ok(_) => Ok(Json::Number(text.to_string())),
                    Err(_) => Err(self.problem("no number")),
                }
            }
            _ => {
                for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
                    if self.s[self.i..].starts_with(word.as_bytes()) {
                        self.i += word.len();
                        return Ok(value);
                    }
                }
                Err(self.problem("no value"))
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if self.peek() != Some(b'"') {
            return Err(self.problem("no string"));
        }
        self.i += 1;
        let mut out = Vec::new();
        loop {
            let c = self.peek().ok_or_else(|| self.problem("a string that does not end"))?;
            self.i += 1;
            match c {
                b'"' => return String::from_utf8(out).map_err(|_| self.problem("no UTF-8")),
                b'\\' => {
                    let c = self.peek().ok_or_else(|| self.problem("a string that does not end"))?;
                    self.i += 1;
                    match c {
                        b'b' => out.push(8),
                        b'f' => out.push(12),
                        b'n' => out.push(b'\n'),
                        b'r' => out.push(b'\r'),
                        b't' => out.push(b'\t'),
                        b'"' | b'\\' | b'/' => out.push(c),
                        b'u' => {
                            let mut v = self.hex()?;
                            if (0xd800..0xdc00).contains(&v) && self.s[self.i..].starts_with(b"\\u") {
                                let back = self.i;
                                self.i += 2;
                                let low = self.hex()?;
                                if (0xdc00..0xe000).contains(&low) {
                                    v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
                                } else {
                                    self.i = back;
                                }
                            }
                            let c = char::from_u32(v).unwrap_or('\u{fffd}'); // half a character
                            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        _ => return Err(self.problem("an escape that does not exist")),
                    }
                }
                0..=31 => return Err(self.problem("a control character")),
                _ => out.push(c),
            }
        }
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.s.get(self.i..self.i + 4).and_then(|d| std::str::from_utf8(d).ok());
        let v = digits.and_then(|d| u32::from_str_radix(d, 16).ok());
        self.i += 4;
        v.ok_or_else(|| self.problem("an escape that is no number"))
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn round_trips() {
        for text in [
            "null", "[]", "{}", "[1,-2.5e3,12345678901234567890]", r#"{"a":{"b":[true,false,null]},"a":2}"#,
            r#""Grüße \"\\ \u0000""#,
        ] {
            assert_eq!(Json::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Json::parse(r#" "\u00e9\ud83d\ude00\ud800\/" "#).unwrap(), Json::from("é😀\u{fffd}/"));
    }

    #[test]
    fn refuses() {
        let deep = "[".repeat(1000);
        for text in ["", "{", "[1 2]", "[,]", "[1,]", "{\"a\"}", "{1:2}", "nul", "1 2", "\"", "\"\\x\"", "\"\\u12\"", "+1", "-", "\"\n\"", &deep] {
            assert!(Json::parse(text).is_err(), "{}", text);
        }
    }

    #[test]
    fn reads() {
        let v = Json::parse(r#"{"a":[1,"x"],"n":300}"#).unwrap();
        assert_eq!(v.get("a").entries()[1].text(), Some("x"));
        assert_eq!(v.get("n").number::<i64>(), Some(300));
        assert_eq!(v.get("n").number::<u8>(), None);
        assert!(v.get("none").get("deeper").is_null());
    }
}
