package jobs

import dto "github.com/prometheus/client_model/go"

// Unsettled is how many attempts of a worker have ended and cannot be written.
func (w *Worker) Unsettled() float64 {
	var m dto.Metric
	if err := w.met.unsettled.Write(&m); err != nil {
		panic(err)
	}
	return m.GetGauge().GetValue()
}

// Occupy takes all places for large modules until done is called.
func (d *Deployer) Occupy() (done func()) {
	for range maxLarge {
		d.large <- struct{}{}
	}
	return func() {
		for range maxLarge {
			<-d.large
		}
	}
}
