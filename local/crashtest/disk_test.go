package crashtest_test

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// disk is a small file system that only processes in its namespace see.
type disk struct {
	t     *testing.T
	dir   string
	enter []string // what runs a program there
}

// newDisk mounts a disk, which takes no privileges where the kernel gives everybody namespaces.
func newDisk(t *testing.T, size string) *disk {
	t.Helper()
	dir := t.TempDir()
	holder := exec.CommandContext(t.Context(), "unshare", "--map-root-user", "--mount", "sh", "-c",
		`mount -t tmpfs -o size="$1" tmpfs "$0" && echo mounted && exec sleep 86400`, dir, size)
	said, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Skipf("no disk of its own: %v", err)
	}
	t.Cleanup(func() {
		holder.Process.Kill() //nolint:errcheck // it may have ended
		holder.Wait()         //nolint:errcheck // it was killed
	})
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		t.Skipf("no disk of its own: %q, %v", line, err)
	}
	pid := strconv.Itoa(holder.Process.Pid)
	return &disk{t, dir, []string{"nsenter", "--target", pid, "--user", "--mount", "--preserve-credentials"}}
}

func (d *disk) sh(script string) {
	d.t.Helper()
	command := append(append([]string{}, d.enter...), "sh", "-c", script, d.dir)
	if out, err := exec.CommandContext(d.t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// fill leaves so much room.
func (d *disk) fill(left int) {
	d.t.Helper()
	d.sh(fmt.Sprintf(`head -c $(( $(df -P -k "$0" | awk 'END {print $4}') * 1024 - %d )) /dev/zero >"$0/filler" || true`, left)) // others may have filled it
}

func (d *disk) clear() { d.t.Helper(); d.sh(`rm "$0/filler"`) }

// use has everybody write for a while, and finish what they began.
func (s *storm) use(d time.Duration) {
	s.Helper()
	enough, stop := context.WithTimeout(s.Context(), d)
	defer stop()
	var all sync.WaitGroup
	for _, w := range s.writers {
		all.Go(func() { w.work(s.Context(), enough, s.tenant) })
	}
	all.Wait()
}

// diskRounds is how many times a disk is filled, if nobody asks for more.
const diskRounds = 2

// A disk gets full while clients write, and there is room again later. While there is some left, values are refused
// and all else goes on, and values are taken as soon as there is room. When there is none the program may give up;
// what was acknowledged is there after the next start.
func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	d := newDisk(t, "160m")
	s := begin(t, newProgram(t, d.enter, filepath.Join(d.dir, "data")), number(t, "LATCHKEY_CRASH_SEED", 1))
	for round := range int(min(number(t, "LATCHKEY_CRASH_ROUNDS", diskRounds), 20)) {
		isFull, left := round%2 == 1, 20<<20
		if isFull {
			left = 8 << 10
		}
		s.use(500 * time.Millisecond)
		d.fill(left)
		s.use(time.Second)
		if reason := map[bool]string{true: "no space left on device", false: "ENGINE_FAILED"}[isFull]; !s.program.says(reason) {
			t.Errorf("round %d: nobody said %q", round, reason)
		}
		if isFull {
			s.program.kill()
		}
		d.clear()
		if isFull {
			s.start()
		}
		s.compare(round)
		if t.Failed() {
			t.Fatalf("in round %d; the program said: %s", round, s.program.lastWords())
		}
	}
	s.use(500 * time.Millisecond)
	s.compare(diskRounds)
	s.report()
}
