package jobs

import (
	"testing"

	"github.com/runnelhq/runnel"
)

// No code of a call fits what fails at deploy.
func TestFailuresAtDeployAreTheModules(t *testing.T) {
	for _, code := range []runnel.Code{runnel.CodeTimeout, runnel.CodeOutOfMemory, runnel.CodeStackOverflow, runnel.CodeFunctionError, runnel.CodeHostFunctionError} {
		if err := whileLoaded(runnel.Errorf(code, "m")); runnel.CodeOf(err) != runnel.CodeInvalidModule {
			t.Errorf("%s at deploy is %v", code, err)
		}
	}
	for _, code := range []runnel.Code{runnel.CodeTooLarge, runnel.CodeInternal, runnel.CodeUnavailable} {
		if err := whileLoaded(runnel.Errorf(code, "m")); runnel.CodeOf(err) != code {
			t.Errorf("%s at deploy is %v", code, err)
		}
	}
}
