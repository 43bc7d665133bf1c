// Command goguest is what a Go developer deploys: it reads an event from stdin and
// writes a result to stdout. The event says what it tries to do.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"
)

type event struct {
	Do    string `json:"do"`
	Value string `json:"value"`
}

func main() {
	var e event
	if err := json.NewDecoder(os.Stdin).Decode(&e); err != nil {
		fmt.Fprintln(os.Stderr, "bad event:", err)
		os.Exit(3)
	}
	result := map[string]any{"do": e.Do}
	switch e.Do {
	case "echo":
		result["value"] = e.Value
	case "env":
		result["value"] = os.Getenv(e.Value)
		result["args"] = len(os.Args)
	case "sleep":
		d, err := time.ParseDuration(e.Value)
		if err != nil {
			panic(err)
		}
		start := time.Now()
		time.Sleep(d)
		result["value"] = time.Since(start) >= d
	case "random":
		b := make([]byte, 16)
		rand.Read(b)
		result["value"] = hex.EncodeToString(b)
	case "clock":
		result["value"] = time.Now().UnixMilli()
	case "open":
		_, err := os.Open(e.Value)
		result["error"] = fmt.Sprint(err)
	case "create":
		err := os.WriteFile(e.Value, []byte("x"), 0o600)
		result["error"] = fmt.Sprint(err)
	case "dial":
		_, err := net.DialTimeout("tcp", e.Value, time.Second)
		result["error"] = fmt.Sprint(err)
	case "log":
		fmt.Fprintln(os.Stderr, e.Value)
	case "panic":
		panic(e.Value)
	case "allocate":
		var keep [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			keep = append(keep, b)
		}
	case "goroutines":
		sum := make(chan int)
		for i := range 100 {
			go func() { sum <- i }()
		}
		total := 0
		for range 100 {
			total += <-sum
		}
		result["value"] = total
	}
	json.NewEncoder(os.Stdout).Encode(result)
}
