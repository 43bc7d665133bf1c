package process

import "time"

// SetPatience replaces how long the process waits for its database.
func (p *Process) SetPatience(d time.Duration) { p.patience = d }
