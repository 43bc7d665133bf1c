package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/runnelhq/runnel/internal/localpg"
	"github.com/runnelhq/runnel/sql"
)

const (
	// startLimit leaves room for a package manager that installs PostgreSQL.
	startLimit = 5 * time.Minute
	dropLimit  = 30 * time.Second
)

// server makes databases. The zero value starts with the first of them.
type server struct {
	start    once
	migrate  once
	local    *localpg.Server
	base     *url.URL // of the server, its path replaced by a database's name
	admin    *pgxpool.Pool
	template string
	strategy string // how CREATE DATABASE copies the template
}

func (s *server) database(t testing.TB, migrated bool) string {
	t.Helper()
	template, err := "template0", s.start.do(s.open)
	if migrated && err == nil {
		template, err = s.template, s.migrate.do(s.makeTemplate)
	}
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := "runnel_test_" + strings.ToLower(rand.Text())
	if err = s.create(t.Context(), name, template); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropLimit)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return s.url(name)
}

func (s *server) open(ctx context.Context) error {
	address := os.Getenv("RUNNEL_TEST_DATABASE_URL")
	if address == "" {
		local, err := localpg.Start(ctx, localpg.Options{Fast: true, Programs: os.Getenv("RUNNEL_TEST_POSTGRES"), Logger: logger(slog.LevelInfo)})
		if err != nil {
			return err
		}
		s.local = local
		address = local.URL("postgres")
	}
	base, err := url.Parse(address)
	if err != nil || base.Scheme != "postgres" && base.Scheme != "postgresql" {
		return errors.New("RUNNEL_TEST_DATABASE_URL must look like postgres://user:password@host:port/database")
	}
	s.base = base
	if s.admin, err = pgxpool.New(ctx, address); err != nil {
		return err
	}
	// Copying files beats logging every page, by about 5x without fsync.
	var version int
	if err := s.admin.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return err
	}
	if version >= 15_00_00 {
		s.strategy = " STRATEGY file_copy"
	}
	s.template = "runnel_template_" + strings.ToLower(rand.Text())
	return nil
}

func (s *server) makeTemplate(ctx context.Context) error {
	if err := s.create(ctx, s.template, "template0"); err != nil {
		return err
	}
	if err := sql.Migrate(ctx, s.url(s.template), logger(slog.LevelWarn)); err != nil {
		return fmt.Errorf("migrate the template: %w", err)
	}
	return nil
}

func (s *server) create(ctx context.Context, name, template string) error {
	_, err := s.admin.Exec(ctx, "CREATE DATABASE "+identifier(name)+" TEMPLATE "+identifier(template)+s.strategy)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

func (s *server) drop(ctx context.Context, name string) error {
	_, err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+identifier(name)+" WITH (FORCE)")
	if err != nil {
		return fmt.Errorf("drop database: %w", err)
	}
	return nil
}

func (s *server) url(database string) string {
	u := *s.base
	u.Path = "/" + database
	return u.String()
}

// stop ends what open began; a server that was given stays, without our template.
// No test runs any more.
func (s *server) stop() error {
	var errs []error
	if s.admin != nil {
		if s.local == nil && s.template != "" {
			ctx, cancel := context.WithTimeout(context.Background(), dropLimit)
			defer cancel()
			errs = append(errs, s.drop(ctx, s.template))
		}
		s.admin.Close()
	}
	if s.local != nil {
		errs = append(errs, s.local.Stop())
	}
	return errors.Join(errs...)
}

func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }

func logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// once does something at most once and tells everybody how it went.
type once struct {
	once sync.Once
	err  error
}

func (o *once) do(f func(context.Context) error) error {
	o.once.Do(func() {
		// Not a test's context: the others need the result, too.
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		defer cancel()
		o.err = f(ctx)
	})
	return o.err
}
