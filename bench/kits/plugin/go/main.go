//go:build wasip1

// Command go is a plug-in made with Extism's Go PDK, as its documentation shows.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/extism/go-pdk"
)

func main() {}

//go:wasmexport run
func run() int32 {
	var in struct {
		Do    string `json:"do"`
		Value string `json:"value"`
		N     int    `json:"n"`
	}
	if err := pdk.InputJSON(&in); err != nil {
		pdk.SetError(err)
		return 1
	}
	switch in.Do {
	case "echo":
		pdk.OutputString(in.Value)
	case "json":
		if err := pdk.OutputJSON(map[string]any{"value": in.Value, "n": in.N}); err != nil {
			pdk.SetError(err)
			return 1
		}
	case "repeat":
		pdk.OutputString(strings.Repeat(in.Value, in.N))
	case "config":
		value, ok := pdk.GetConfig(in.Value)
		pdk.OutputString(value + " " + strconv.FormatBool(ok))
	case "vars":
		for i := range in.N {
			pdk.SetVar(in.Value+strconv.Itoa(i), []byte(strings.Repeat("v", i)))
			pdk.SetVarInt("n", i)
		}
		pdk.RemoveVar(in.Value + "1")
		pdk.OutputString(strconv.Itoa(len(pdk.GetVar(in.Value+"1"))) + " " + strconv.Itoa(len(pdk.GetVar(in.Value+"2"))) + " " + strconv.Itoa(pdk.GetVarInt("n")))
	case "log":
		pdk.Log(pdk.LogWarn, in.Value)
		pdk.OutputString("logged")
	case "memory":
		total := uint64(0)
		for i := range in.N {
			m := pdk.AllocateBytes([]byte(strings.Repeat("x", i%1000+1)))
			found := pdk.FindMemory(m.Offset())
			total += found.Length()
			m.Free()
		}
		pdk.OutputString(strconv.FormatUint(total, 10))
	case "error":
		pdk.SetError(errors.New(in.Value))
		return 1
	case "code":
		return int32(in.N)
	case "panic":
		panic(in.Value)
	case "http":
		res := pdk.NewHTTPRequest(pdk.MethodPost, in.Value).SetHeader("x-n", strconv.Itoa(in.N)).SetBody([]byte("body")).Send()
		pdk.OutputString(strconv.Itoa(int(res.Status())) + " " + string(res.Body()))
	}
	return 0
}
