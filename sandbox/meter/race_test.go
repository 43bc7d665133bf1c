//go:build race

package meter_test

// The race detector makes the engine's compiler many times slower and has
// nothing to find in it: compiling and running a guest share nothing.
const raceDetector = true
