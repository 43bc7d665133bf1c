package sql

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// connectTimeout bounds one login.
	connectTimeout = 5 * time.Second
	// cleanTimeout bounds what is done to a connection between invocations.
	cleanTimeout = 2 * time.Second
	// cancelTimeout bounds telling the server to stop. The connection is dropped
	// whatever becomes of it.
	cancelTimeout = time.Second
	// maxMessage bounds one message of the server, and so one row, in bytes. A row
	// over the limit of a response is refused anyway; this keeps it out of memory.
	maxMessage = 2 * maxResponse
)

// slot is one connection that runs functions' SQL: a login of its own, which is a
// member of one level and owns nothing. One session uses it at a time.
type slot struct {
	name, level string
	conn        *pgconn.PgConn
	front       *pgproto3.Frontend
	dead        bool // closed: whatever is not certain ends here
	skip        int  // command completions of our own statements, to come
	syncs       int  // ReadyForQuery to come
	committing  bool // a Sync was sent: the transaction may be committed
	idle        *time.Timer
	cancels     *sync.WaitGroup // cancellations on their way
}

// password of a slot. Its verifier is what the server stores.
func (s *slots) password(slot string) string {
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte("runnel slot " + slot))
	return hex.EncodeToString(mac.Sum(nil))
}

// mark tells passwords of one secret from those of another.
func (s *slots) mark() string {
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte("runnel slots' mark"))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// verifier is a password in the form that pg_authid has it (RFC 5803), so that the
// server never sees the password. The iterations are few because the password is
// a key of 256 bits, which nobody can guess.
func verifier(password string) (string, error) {
	const iterations = 4096 // the least that RFC 5802 names
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	key := func(name string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(name))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(key("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(key("Server Key"))), nil
}

// dial logs in as a slot and probes what it got. The startup parameter role makes
// the server refuse the login where the slot is not a member of its level, and is
// what RESET ROLE goes back to.
func (s *slots) dial(ctx context.Context, name, level string) (*slot, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config := s.db.pool.Config().ConnConfig.Config.Copy()
	config.User, config.Password = name, s.password(name)
	config.OnNotification, config.OnNotice = nil, nil
	config.AfterConnect = nil
	config.RuntimeParams = map[string]string{
		"role": level, "application_name": "runnel function", "search_path": `"$user", public`, "client_encoding": "UTF8",
		"TimeZone": "UTC", "DateStyle": "ISO, MDY", "IntervalStyle": "iso_8601", "bytea_output": "hex", "extra_float_digits": "1",
		"standard_conforming_strings": "on", "row_security": "on", "xmloption": "content",
		// A backend whose worker has gone must not keep the slot.
		"client_connection_check_interval": "1s",
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	result := conn.ExecParams(ctx, probeSQL, nil, nil, nil, nil).Read()
	var reasons []string
	for _, row := range result.Rows {
		reasons = append(reasons, string(row[0]))
	}
	if err := result.Err; err != nil || reasons != nil {
		conn.Close(ctx)
		if err != nil {
			return nil, err
		}
		return nil, &probeError{reasons}
	}
	front := conn.Frontend()
	front.SetMaxBodyLen(maxMessage)
	return &slot{name: name, level: level, conn: conn, front: front, cancels: &s.cancels}, nil
}

// probeError says why a login must not be used.
type probeError struct{ reasons []string }

func (e *probeError) Error() string { return strings.Join(e.reasons, "; ") }

// clean makes the connection what it was when it was new. False: close it.
//
// DISCARD ALL leaves the role at none, and leaves the state of random(): without
// a new seed one invocation could choose the next one's random numbers.
func (c *slot) clean() bool {
	if c.dead || c.syncs != 0 {
		return false
	}
	_ = c.conn.Conn().SetDeadline(time.Now().Add(cleanTimeout))
	n, err := rand.Int(rand.Reader, big.NewInt(1<<53))
	if err != nil {
		return false
	}
	seed := float64(n.Int64())/(1<<52) - 1
	for _, sql := range []string{"DISCARD ALL", "SET ROLE " + c.level, fmt.Sprintf("SELECT pg_catalog.setseed(%.17f)", seed)} {
		c.front.SendQuery(&pgproto3.Query{String: sql})
		c.syncs++
	}
	if c.front.Flush() != nil {
		return false
	}
	for c.syncs > 0 {
		m, err := c.front.Receive()
		if err != nil {
			return false
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			return false
		case *pgproto3.ReadyForQuery:
			if c.syncs--; m.TxStatus != 'I' {
				return false
			}
		}
	}
	return c.conn.Conn().SetDeadline(time.Time{}) == nil
}

// kill closes the connection at once. A transaction that is under way is rolled
// back by the server.
func (c *slot) kill() {
	if !c.dead {
		c.dead = true
		_ = c.conn.Conn().Close()
	}
}

// stop closes the connection and tells the server to stop what it does. Because
// the connection is closed first, the cancellation can strike no other query.
func (c *slot) stop() {
	if c.dead {
		return
	}
	c.kill()
	c.cancels.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
		defer cancel()
		_ = c.conn.CancelRequest(ctx)
	})
}

// errGone is a connection that broke, or that we gave up.
var errGone = errors.New("sql: a slot's connection is gone")

// receive reads the server's next message; the slot is dead when it cannot.
func (c *slot) receive() (pgproto3.BackendMessage, error) {
	m, err := c.front.Receive()
	var long *pgproto3.ExceededMaxBodyLenErr
	switch {
	case errors.As(err, &long):
		c.stop()
		return nil, &guestError{Code: guestTooLarge, Message: "a row of the result is over 6 MB; nothing was written: select less of it"}
	case err != nil:
		c.stop()
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	if e, ok := m.(*pgproto3.ErrorResponse); ok && (e.Severity == "FATAL" || e.SeverityUnlocalized == "FATAL") {
		c.kill()
		return nil, fmt.Errorf("%w: %w", errGone, pgconn.ErrorResponseToPgError(e))
	}
	return m, nil
}

func (c *slot) flush() error {
	if err := c.front.Flush(); err != nil {
		c.stop()
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}
