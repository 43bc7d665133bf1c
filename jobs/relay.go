package jobs

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/runnelhq/runnel/sql"
)

const (
	// relayInterval is how old a worker's metrics may be at web's /metrics.
	relayInterval = 2 * time.Second
	// relayLimit bounds asking for them; without an answer they are left out.
	relayLimit = 2 * time.Second
	// maxRelayed bounds what one worker's metrics unpack to: a thousand functions
	// have some 4 MB.
	maxRelayed = 16 << 20
	// relayLabel says which worker a relayed series is of.
	relayLabel = "worker"
)

// relayMetrics writes this worker's metrics into the database until it ends, where
// nobody can scrape it: on platforms where only web has a port, they would never be
// seen.
func (w *Worker) relayMetrics() {
	ticker := time.NewTicker(relayInterval)
	defer ticker.Stop()
	var last []byte
	for {
		packed, err := packMetrics(w.met.own)
		if err == nil && !bytes.Equal(packed, last) {
			ctx, cancel := context.WithTimeout(w.life, relayLimit)
			if err = w.db.RelayMetrics(ctx, w.cfg.ID, packed); err == nil {
				last = packed
			}
			cancel()
		}
		if err != nil && w.life.Err() == nil {
			w.log.Debug("metrics were not relayed", "error", err)
		}
		select {
		case <-w.life.Done():
			return
		case <-ticker.C:
		}
	}
}

func packMetrics(from prometheus.Gatherer) ([]byte, error) {
	families, err := from.Gather()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	packer := gzip.NewWriter(&b)
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(packer, f); err != nil {
			return nil, err
		}
	}
	err = packer.Close()
	return b.Bytes(), err
}

// Relay gathers the metrics of the workers that nobody can scrape, each series with
// the label "worker". What cannot be read is left out: that a worker is there, and
// nothing of it here, shows in runnel_workers_alive.
type Relay struct {
	db     *sql.DB
	except string
	log    *slog.Logger
}

// NewRelay makes a Relay that leaves out one worker, the process's own.
func NewRelay(db *sql.DB, except string, log *slog.Logger) *Relay { return &Relay{db, except, log} }

// Gather implements prometheus.Gatherer.
func (r *Relay) Gather() ([]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(context.Background(), relayLimit)
	defer cancel()
	list, err := r.db.RelayedMetrics(ctx, silentAfter, r.except)
	if err != nil {
		r.log.Debug("relayed metrics are left out", "error", err)
		return nil, nil
	}
	var all prometheus.Gatherers
	for _, relayed := range list {
		families, err := unpackMetrics(relayed)
		if err != nil {
			r.log.Warn("relayed metrics are left out", "worker", relayed.Worker, "error", err)
			continue
		}
		all = append(all, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil }))
	}
	// Workers of two releases may differ in what they say of a series.
	families, err := all.Gather()
	if err != nil {
		r.log.Debug("some relayed metrics are left out", "error", err)
	}
	return families, nil
}

func unpackMetrics(r sql.Relayed) ([]*dto.MetricFamily, error) {
	unpacker, err := gzip.NewReader(bytes.NewReader(r.Metrics))
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	byName, err := parser.TextToMetricFamilies(io.LimitReader(unpacker, maxRelayed))
	if err != nil {
		return nil, err
	}
	families := make([]*dto.MetricFamily, 0, len(byName))
	name := relayLabel
	for _, f := range byName {
		for _, m := range f.Metric {
			m.Label = append(m.Label, &dto.LabelPair{Name: &name, Value: &r.Worker})
		}
		families = append(families, f)
	}
	return families, nil
}
