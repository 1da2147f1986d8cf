package programs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"latchkey/bench/ratio"
)

// readyAtOnce is how much CPU time the suite on one machine may take until it is ready, in seconds: less than what a
// newcomer would notice. It is the one budget that is a time, since people's patience does not grow with the machine.
const readyAtOnce = 1

// ready measures from exec until the suite on one machine says that it is ready, the first time in a folder: keys and
// tables are made.
func (s *shared) ready() ratio.Contest {
	return ratio.Contest{
		Name: "ready/local", Unit: ratio.Wall, Turns: 5,
		Floor:    "a program that says so and does nothing",
		Measures: "time from exec of the suite on one machine until it prints ready, the first time in a folder",
		Open: func(ctx context.Context, lab *ratio.Lab) (subject, floor ratio.Turn, err error) {
			suite, err := lab.Build(ctx, "latchkey/local")
			if err != nil {
				return nil, nil, err
			}
			nothing, err := lab.Build(ctx, "latchkey/bench/programs/ready")
			wall := func(program string) ratio.Turn {
				return func(ctx context.Context) (float64, error) {
					took, _, err := untilReady(ctx, lab, program)
					return took.Seconds(), err
				}
			}
			return wall(suite), wall(nothing), err
		},
	}
}

// readyCPU is the CPU time of the same.
func (s *shared) readyCPU() ratio.Fact {
	return ratio.Fact{
		Name: "ready/local/cpu", Unit: ratio.CPU, Budget: ratio.AtMost(readyAtOnce),
		Measures: "CPU time of the suite on one machine until it prints ready, the first time in a folder: median of five",
		Measure: func(ctx context.Context, lab *ratio.Lab) (float64, error) {
			suite, err := lab.Build(ctx, "latchkey/local")
			if err != nil {
				return 0, err
			}
			var all []float64
			for range 5 {
				_, cpu, err := untilReady(ctx, lab, suite)
				if err != nil {
					return 0, err
				}
				all = append(all, cpu.Seconds())
			}
			return ratio.Median(all), nil
		},
	}
}

// untilReady runs a program until it prints "ready", and ends it.
func untilReady(ctx context.Context, lab *ratio.Lab, program string) (wall, cpu time.Duration, err error) {
	data, err := os.MkdirTemp(lab.Dir, "data")
	if err != nil {
		return 0, 0, err
	}
	args := []string{"-data", filepath.Join(data, "data")}
	for _, name := range []string{"-listen", "-clouds", "-lambda", "-nodes", "-states", "-databases"} {
		args = append(args, name, "127.0.0.1:0")
	}
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // G204: programs of this module
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	said := false
	for lines := bufio.NewScanner(out); !said && lines.Scan(); {
		said = lines.Text() == "ready"
	}
	wall = time.Since(begin)
	if said {
		cpu, err = ratio.CPUOfProcess(cmd.Process.Pid)
	}
	cmd.Process.Kill() //nolint:errcheck // it fails for one that has ended
	cmd.Wait()         //nolint:errcheck // it was killed
	if !said {
		return 0, 0, fmt.Errorf("%w: %s", errors.New("the program does not get ready"), complaints.Bytes())
	}
	return wall, cpu, err
}
