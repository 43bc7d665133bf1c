module example.com/go-webhook

go 1.24

require github.com/runnelhq/runnel/sdk/go v0.0.0

// Outside of this repository: go get github.com/runnelhq/runnel/sdk/go
replace github.com/runnelhq/runnel/sdk/go => ../../../sdk/go
