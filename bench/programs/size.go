package programs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"latchkey/bench/ratio"
)

// size reports how large a function's program is, as it is deployed but for the platform.
func size(name string) ratio.Fact {
	return ratio.Fact{
		Name: "size/" + name, Unit: ratio.Bytes, Measures: "size of the program",
		Measure: func(ctx context.Context, lab *ratio.Lab) (float64, error) {
			path, err := lab.Build(ctx, "latchkey/functions/"+name)
			if err != nil {
				return 0, err
			}
			file, err := os.Stat(path)
			if err != nil {
				return 0, err
			}
			return float64(file.Size()), nil
		},
	}
}

// initAllocations reports what the initialisation of a function's packages allocates, before main.
func initAllocations(name string) ratio.Fact {
	return ratio.Fact{
		Name: "init/" + name, Unit: "allocations", Measures: "allocations of all packages' initialisation, by GODEBUG=inittrace=1",
		Measure: func(ctx context.Context, lab *ratio.Lab) (float64, error) {
			path, err := lab.Build(ctx, "latchkey/functions/"+name)
			if err != nil {
				return 0, err
			}
			cmd := exec.CommandContext(ctx, path) //nolint:gosec // G204: programs of this module
			cmd.Env = []string{"GODEBUG=inittrace=1"}
			out, _ := cmd.CombinedOutput() // without an environment it does not start
			return sumAllocations(out)
		},
	}
}

// sumAllocations adds what lines like "init net @1.2 ms, 0.03 ms clock, 1768 bytes, 23 allocs" say.
func sumAllocations(trace []byte) (float64, error) {
	sum, found := 0, false
	for lines := bufio.NewScanner(bytes.NewReader(trace)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "init" || words[len(words)-1] != "allocs" {
			continue
		}
		n, err := strconv.Atoi(words[len(words)-2])
		if err != nil {
			return 0, fmt.Errorf("inittrace: %q", lines.Text())
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, fmt.Errorf("inittrace: %q", trace)
	}
	return float64(sum), nil
}
