package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/settings"
)

// keyLife is how long the keys that applications are configured with last.
const keyLife = 10 * 365 * 24 * time.Hour

// mintKey signs a token for role that a server with these settings accepts; sub is
// its user, or "".
func mintKey(s settings.Settings, role, sub string, life time.Duration) (string, error) {
	now := time.Now()
	claims := jwt.MapClaims{"iss": cmp.Or(s.JWTIssuer, "runnel"), "role": role, "iat": now.Unix(), "exp": now.Add(life).Unix()}
	if sub != "" {
		claims["sub"] = sub
	}
	if s.JWTAudience != "" {
		claims["aud"] = s.JWTAudience
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(s.JWTSecret))
}

// anonKey is an anon key for calls made now, where the environment has the secret to
// sign one with: whoever has that needs no other. Otherwise it is "".
func anonKey() string {
	s, err := settings.Load(os.Environ())
	if err != nil || s.JWTSecret == "" {
		return ""
	}
	key, err := mintKey(s, runnel.RoleAnon, "", 5*time.Minute)
	if err != nil {
		return ""
	}
	return key
}

func (t *tool) keysCommand() *cobra.Command {
	var (
		role, sub string
		life      time.Duration
	)
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Mint tokens: the anon and service_role keys, or one for a user",
		Long: `Mint tokens signed with RUNNEL_JWT_SECRET, or with the secret of "runnel dev".

Without flags: the anon key, which may be published, and the service_role key,
which may do everything and must not be.`,
		Example: "  runnel keys\n  runnel keys --role authenticated --sub 5d0e... --expires 1h",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := jwtSettings()
			if err != nil {
				return err
			}
			if life <= 0 {
				return usagef("--expires %s is not in the future", life)
			}
			roles := []string{runnel.RoleAnon, runnel.RoleService}
			if role != "" {
				roles = []string{role}
			} else if sub != "" {
				return usagef("--sub needs --role authenticated")
			}
			keys := make(map[string]string)
			for _, r := range roles {
				switch r {
				case runnel.RoleAnon, runnel.RoleAuthenticated, runnel.RoleService:
				default:
					return usagef("--role %s is not one: use anon, authenticated or service_role", r)
				}
				if keys[r], err = mintKey(s, r, sub, life); err != nil {
					return err
				}
			}
			if t.json {
				return t.writeJSON(keys)
			}
			for _, r := range roles {
				if len(roles) == 1 {
					fmt.Fprintln(t.out, keys[r])
				} else {
					fmt.Fprintf(t.out, "%-12s  %s\n", r, keys[r])
				}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&role, "role", "", "mint one token, for this role: anon, authenticated or service_role")
	flags.StringVar(&sub, "sub", "", "the token's user id")
	flags.DurationVar(&life, "expires", keyLife, "how long the tokens are valid")
	return cmd
}

// jwtSettings are the settings with the secret of runnel dev where they have none.
func jwtSettings() (settings.Settings, error) {
	s, err := settings.Load(os.Environ())
	if err != nil || s.JWTSecret != "" {
		return s, err
	}
	dev, ok, err := findState()
	if err != nil {
		return s, err
	}
	if !ok {
		return s, errors.New("no secret is known: set RUNNEL_JWT_SECRET to the server's, or start \"runnel dev\" in this folder")
	}
	s.JWTSecret = dev.JWTSecret
	return s, nil
}
