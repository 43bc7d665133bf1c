package sql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Whoever starts a process reads what to correct, and not the database's own text.
func TestFaultsOfTheConnectionNameTheSetting(t *testing.T) {
	for _, code := range []string{"28P01", "28000", "3D000"} {
		err := fault("connect", fmt.Errorf("connect: %w", &pgconn.PgError{Code: code, Message: "secret"}))
		if !strings.Contains(err.Error(), "DATABASE_URL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", code, err)
		}
	}
}
