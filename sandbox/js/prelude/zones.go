package prelude

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"
	_ "time/tzdata" // a host need not have the zones, and a function finds the same everywhere
)

func init() { register("zone_at", operation{args: 2, text: true, run: zoneAt}) }

// zoneName is what the names of time zones are made of. A name is a path for package
// time, so nothing else gets there.
var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z_]*(/[A-Za-z_][A-Za-z0-9_+-]*){0,2}$`)

// zones are those that were asked for: some hundred names exist.
var zones sync.Map // of string to *time.Location

// zoneAt(zone, Unix time) returns the seconds that the zone is ahead of UTC then, and
// its abbreviation.
func zoneAt(args [][]byte) ([]byte, error) {
	name := string(args[0])
	at, err := strconv.ParseInt(string(args[1]), 10, 64)
	if err != nil || at < -1e13 || at > 1e13 {
		return nil, fail("RangeError", "Invalid time value")
	}
	location, ok := zones.Load(name)
	if !ok {
		if len(name) > 40 || name == "Local" || !zoneName.MatchString(name) {
			return nil, fail("RangeError", "Invalid time zone specified: %.40q", name)
		}
		l, err := time.LoadLocation(name)
		if err != nil {
			return nil, fail("RangeError", "Invalid time zone specified: %.40q", name)
		}
		location, _ = zones.LoadOrStore(name, l)
	}
	short, offset := time.Unix(at, 0).In(location.(*time.Location)).Zone()
	return fmt.Appendf(nil, "%d\n%s", offset, short), nil
}
