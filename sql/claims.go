package sql

import (
	"encoding/json"

	"github.com/runnelhq/runnel"
)

// claimsOf is what auth.jwt() answers in a slot: the token's claims, or what is
// known of a caller without a token. A jsonb column must hold it.
func claimsOf(c runnel.Caller) (string, bool) {
	if len(c.Claims) > 0 && string(c.Claims) != "null" {
		return string(c.Claims), jsonbHolds(c.Claims)
	}
	claims := map[string]string{"role": c.Role}
	if c.UserID != "" {
		claims["sub"] = clean(c.UserID)
	}
	text, err := json.Marshal(claims)
	return string(text), err == nil
}
