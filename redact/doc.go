// Package redact removes secrets from what a person can read: log lines, error
// messages, results, environments. It is pure: bytes in, bytes out.
//
// Redaction is by key (Environment) and by value (Redactor). A value is found
//
//   - as it is, and each of its lines on its own;
//   - backslash-escaped, as JSON, Go, JavaScript and Python write strings,
//     any part of it or all of it, with \uXXXX in either case;
//   - percent-encoded, as query or path, in either case of hex;
//   - HTML-escaped;
//   - under any two of these escapes, such as JSON inside JSON;
//   - in hex, lower or upper case;
//   - in base64, standard or URL alphabet, padded or not, alone or anywhere
//     inside a longer encoded text;
//   - split across consecutive log lines (Lines).
//
// Escapes are undone in the text rather than spelled out for each value, so it
// does not matter which characters a library chooses to escape. Hex and base64
// are searched for as text, because almost any word can be read as base64.
//
// A function that wants to show its own secret can: reversed, or one character
// at a time with something in between. Redaction protects from accidents.
package redact
