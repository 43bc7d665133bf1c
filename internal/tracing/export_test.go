package tracing

import "time"

// ComplainAgain has the next complaint logged.
func ComplainAgain() {
	complaints.mu.Lock()
	defer complaints.mu.Unlock()
	complaints.last = time.Time{}
}
