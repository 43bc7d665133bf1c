module github.com/runnelhq/runnel/sdk/go

go 1.24
