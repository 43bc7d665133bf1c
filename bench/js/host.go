package main

import (
	"errors"
	"fmt"
)

// host is what a call in another runtime finds of Runnel's imports: what a handler
// without host calls needs.
type host struct {
	args   [][]byte
	text   []byte // what the guest reads next
	output []byte
	done   bool
	err    error
}

const none = ^uint32(0)

// call answers an import of the module runnel.
func (h *host) call(name string, memory []byte, a []uint64) (uint32, error) {
	at := func(i int) []byte { return memory[uint32(a[i]):][:uint32(a[i+1])] }
	switch name {
	case "port_put":
		h.args = append(h.args, append([]byte(nil), at(0)...))
		return 0, nil
	case "port_call":
		return h.portCall(uint32(a[0]))
	case "result_read":
		return uint32(copy(at(0), h.text)), nil
	}
	return none, nil
}

func (h *host) portCall(what uint32) (uint32, error) {
	args := h.args
	h.args = nil
	switch what {
	case 3: // wait
		if !h.done {
			h.err, h.done = errors.New("the handler does not end"), true
		}
		return 0, nil
	case 5:
		return 0, fmt.Errorf("thrown: %s", args)
	case 7: // bytes at which to collect garbage
		return 32 << 20, nil
	case 8: // bytes of stack
		return 640 << 10, nil
	}
	if len(args) == 0 {
		return none, nil
	}
	switch string(args[0]) {
	case "env", "call":
		h.text = []byte("{}")
		return uint32(len(h.text)), nil
	case "done":
		h.done = true
		if len(args) > 1 {
			h.output = args[1]
		}
	case "fail":
		h.done, h.err = true, fmt.Errorf("failed: %s", args[1:])
	}
	return 0, nil
}
