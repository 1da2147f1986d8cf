package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// testFlags run the program on free ports, with what it keeps in a directory.
func testFlags(data string) []string {
	flags := []string{"-data", data}
	for _, name := range []string{"-listen", "-clouds", "-lambda", "-nodes", "-states", "-databases"} {
		flags = append(flags, name, "127.0.0.1:0")
	}
	return flags
}

func testConfig(t testing.TB) config {
	t.Helper()
	cfg, err := parseFlags(testFlags(filepath.Join(t.TempDir(), "data")), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.read, cfg.generateKey = readOnce, pooledKeys()
	return cfg
}

// readOnce reads the template, once as long as it has no other parameters.
func readOnce(parameters map[string]string) (parts, error) {
	if len(parameters) > 0 {
		return readParts(parameters)
	}
	return deployedParts()
}

var deployedParts = sync.OnceValues(func() (parts, error) { return readParts(nil) })

// pooledKeys makes RSA keys of 2048 bits, which take a tenth of a second each, by handing out a few in turn.
func pooledKeys() func(bits int) (*rsa.PrivateKey, error) {
	var made atomic.Uint64
	return func(bits int) (*rsa.PrivateKey, error) {
		all, err := keyPool()
		if err != nil || bits != all[0].N.BitLen() {
			return rsa.GenerateKey(rand.Reader, bits)
		}
		return all[made.Add(1)%uint64(len(all))], nil
	}
}

var keyPool = sync.OnceValues(func() ([]*rsa.PrivateKey, error) {
	all := make([]*rsa.PrivateKey, 4)
	for i := range all {
		var err error
		if all[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// start runs the program until the test ends, and returns the API's address.
func start(t *testing.T, cfg config) (api string, stop func() error) {
	t.Helper()
	at, stop := launch(t, cfg)
	return at["API"], stop
}

// launch runs the program until the test ends, and returns what it prints by name: addresses
// ("API") and the variables that it says to export.
func launch(t testing.TB, cfg config) (at map[string]string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, cfg, writer)
		writer.CloseWithError(err)
		ended <- err
	}()
	at = untilReady(t, reader)
	return at, func() error {
		cancel()
		return <-ended
	}
}

// untilReady reads what the program prints until it is ready.
func untilReady(t testing.TB, reader io.Reader) map[string]string {
	t.Helper()
	at := map[string]string{}
	lines := bufio.NewScanner(reader)
	for lines.Scan() && lines.Text() != "ready" {
		if address := regexp.MustCompile(`^(API|clouds|Lambda|nodes|states) +(http://\S+)$`).FindStringSubmatch(lines.Text()); address != nil {
			at[address[1]] = address[2]
		}
		if exports, ok := strings.CutPrefix(lines.Text(), "  export "); ok {
			for word := range strings.FieldsSeq(exports) {
				name, value, _ := strings.Cut(word, "=")
				at[name] = value
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return at
}

func status(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read below
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate") + string(body)
}

func TestRun_challengesWhoDoesNotSayWhoTheyAre(t *testing.T) {
	api, stop := start(t, testConfig(t))
	code, answer := status(t, api+"/api/atlas/v2/groups")
	if code != 401 || !strings.HasPrefix(answer, `Digest realm="MMS Public API", `) {
		t.Errorf("answer = %d %s", code, answer)
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestRun_leavesPortsAndDataFreeForTheNextOne(t *testing.T) {
	cfg := testConfig(t)
	_, stop := start(t, cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	_, stop = start(t, cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestRun_startsWithTheKeyThatSealedTheTableOnly(t *testing.T) {
	cfg := testConfig(t)
	_, stop := start(t, cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(cfg.data, "seal.key")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // ends the program should it start
	defer cancel()
	for range 2 { // the second time there is a key, and it is not the one
		if err := run(ctx, cfg, io.Discard); err == nil || !strings.Contains(err.Error(), "seal.key") {
			t.Errorf("error = %v", err)
		}
	}
}

func TestRun_namesTheFlagThatFreesAPort(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing was accepted
	cfg := testConfig(t)
	cfg.lambda = taken.Addr().String()
	err = run(t.Context(), cfg, io.Discard)
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()+" is in use") || !strings.Contains(err.Error(), "-lambda") {
		t.Errorf("error = %v", err)
	}
}

func TestRun_refusesParametersThatTheTemplateRefuses(t *testing.T) {
	cfg := testConfig(t)
	cfg.parameters["GoogleProjectId"] = "UPPER"
	if err := run(t.Context(), cfg, io.Discard); err == nil || !strings.Contains(err.Error(), "GoogleProjectId") {
		t.Errorf("error = %v", err)
	}
}

func TestParseFlags_saysWhatIsWrong(t *testing.T) {
	for name, args := range map[string][]string{
		"an unknown flag":           {"-port", "1"},
		"an argument":               {"serve"},
		"a parameter with no value": {"-parameter", "LogLevel"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			if _, err := parseFlags(args, &stderr); err == nil || !strings.Contains(stderr.String(), "-listen") {
				t.Errorf("error = %v, %s", err, stderr.String())
			}
		})
	}
	cfg, err := parseFlags([]string{"-parameter", "LogLevel=DEBUG", "-quiet"}, io.Discard)
	if err != nil || cfg.parameters["LogLevel"] != "DEBUG" || !cfg.quiet {
		t.Errorf("config = %+v, %v", cfg, err)
	}
}

// BenchmarkReady measures how long the program takes from its start to "ready": the first
// time in a data folder, when everything is made, and later.
func BenchmarkReady(b *testing.B) {
	for name, fresh := range map[string]bool{"first": true, "later": false} {
		b.Run(name, func(b *testing.B) {
			cfg := testConfig(b)
			cfg.read, cfg.generateKey = readParts, nil
			for b.Loop() {
				if fresh {
					b.StopTimer()
					cfg.data = filepath.Join(b.TempDir(), "data")
					b.StartTimer()
				}
				_, stop := launch(b, cfg)
				b.StopTimer()
				if err := stop(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
