module example.com/reactor

go 1.25

require github.com/runnelhq/runnel/sdk/go v0.0.0

replace github.com/runnelhq/runnel/sdk/go => ../../../sdk/go
