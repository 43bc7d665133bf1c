package sql

import _ "embed"

// The statements of query/, one file each; the files say what the parameters are.
var (
	//go:embed query/bootstrap.sql
	bootstrapSQL string
	//go:embed query/revoke.sql
	revokeSQL string
)
