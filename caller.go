package runnel

import "encoding/json"

// The database roles an invocation can run under. Every other role is refused
// when a token is read, so a token cannot name the owner or a superuser.
const (
	RoleAnon          = "anon"
	RoleAuthenticated = "authenticated"
	RoleService       = "service_role"
)

// Caller is on whose behalf an invocation runs. It carries claims, never a token.
type Caller struct {
	Role   string          // one of the roles above
	UserID string          // the token's sub, "" when there is none
	Claims json.RawMessage // the token's verified claims, nil when there is none
	Depth  int             // how many functions in a row, each set off by the one before, led to this one
}
