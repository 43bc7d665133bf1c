package meter

import "fmt"

// Reason groups the causes of a refusal.
type Reason string

const (
	Malformed   Reason = "malformed"   // not a WebAssembly module, or not one that could be valid
	Unsupported Reason = "unsupported" // uses a feature beyond WebAssembly 2.0
	Reserved    Reason = "reserved"    // uses a name or an index that belongs to the meter
	OverLimit   Reason = "limit"       // larger than Limits allow
)

// Error says why a module was refused and what its author can do about it.
type Error struct {
	Reason  Reason
	Offset  int    // byte offset in the module
	Message string // safe to show to the author of the module
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s module: %s (at byte %#x)", e.Reason, e.Message, e.Offset)
}
