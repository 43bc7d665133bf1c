// Package egress is the only way from a function to the network: it answers
// http_fetch (FUNC-S3).
//
// A request passes two gates. The first looks at the URL: http or https, no
// credentials in it, port 80 or 443, and a host that is on the function's list.
// Only then is the name resolved. The second looks at the address that is about to
// be connected to, in the dialer's Control, after resolution and for every attempt:
// private, local, reserved and cloud-internal ranges are refused there, whatever
// name or notation led to them, so a name that resolves differently the second time
// (rebinding) gains nothing. A redirect passes both gates again.
//
// Connections are kept for one invocation at most and never shared with another:
// what is tied to a connection (a TLS session, NTLM and other schemes that
// authenticate connections rather than requests, a proxy's idea of who speaks)
// stays with the caller it belongs to. Proxies of the environment are not used,
// because the second gate would then see the proxy's address only.
package egress
