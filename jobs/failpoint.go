//go:build !faults

package jobs

// failpoint does nothing. In a binary of the fault suite (go build -tags faults) it
// is where the process may end; see failpoint_faults.go.
func failpoint(string) {}
