package jobs

import (
	"context"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sql"
)

// Deployer makes versions of modules that the sandbox would run.
type Deployer struct {
	db       *sql.DB
	compiler *compile.Compiler // nil: modules are compiled when they are first called
}

// NewDeployer returns a Deployer that stores into db.
func NewDeployer(db *sql.DB) *Deployer { return &Deployer{db: db} }

// Precompile has c compile every module before it is stored, so that one that
// cannot be compiled within the limits is refused at once, and workers that share
// c's store find the code there. Call it before the first Deploy.
func (d *Deployer) Precompile(c *compile.Compiler) { d.compiler = c }

// Deploy checks d.Wasm and d.Config and makes a new version, and the function
// too when the name is new (created). d.Hash and d.Kind are filled in here: the
// hash stored is the hash of the bytes that were checked.
func (d *Deployer) Deploy(ctx context.Context, dep sql.Deploy) (fn runnel.Function, created bool, err error) {
	if err := runnel.CheckName(dep.Name); err != nil {
		return runnel.Function{}, false, err
	}
	if err := dep.Config.Check(); err != nil {
		return runnel.Function{}, false, err
	}
	info, err := sandbox.Check(ctx, dep.Wasm)
	if err != nil {
		return runnel.Function{}, false, err
	}
	if d.compiler != nil {
		if err := sandbox.Precompile(ctx, d.compiler, dep.Wasm); err != nil {
			return runnel.Function{}, false, err
		}
	}
	dep.Hash, dep.Kind = info.Hash, string(info.Kind)
	return d.db.Deploy(ctx, dep)
}
