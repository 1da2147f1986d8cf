package pocket

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind is a way for a service to fail.
type FaultKind string

// The kinds of fault.
const (
	Deny        FaultKind = "deny"     // the provider's "access denied"
	Throttle    FaultKind = "throttle" // the provider's "slow down"
	Firewall    FaultKind = "firewall" // the provider's refusal of our network address
	ServerError FaultKind = "error"    // the provider's 5xx
	Timeout     FaultKind = "timeout"  // no answer
	Down        FaultKind = "down"     // the connection breaks
	Slow        FaultKind = "slow"     // the right answer, late
)

var faultKinds = []FaultKind{Deny, Throttle, Firewall, ServerError, Timeout, Down, Slow}

// Fault makes requests fail.
type Fault struct {
	// Host that fails: "kms.us-east-1.amazonaws.com"; "*.example" matches every host that
	// ends in ".example", "*" every host.
	Host string    `json:"host"`
	Kind FaultKind `json:"fault"`
	// Operation that fails; "" is every operation.
	Operation string `json:"operation,omitempty"`
	// Path is a part of the path of requests that fail ("/locations/us-east4/"); "" is every path.
	Path string `json:"path,omitempty"`
	// Count is how many requests fail; 0 is all until the fault is cleared.
	Count int `json:"count,omitempty"`
	// DelayMS is how late a slow answer is, in milliseconds; 0 is two seconds.
	DelayMS int `json:"delayMs,omitempty"`
}

func (f Fault) delay() time.Duration {
	if f.DelayMS > 0 {
		return time.Duration(f.DelayMS) * time.Millisecond
	}
	return 2 * time.Second
}

func (f Fault) matches(host, operation, path string) bool {
	if f.Operation != "" && f.Operation != operation || !strings.Contains(path, f.Path) {
		return false
	}
	suffix, isWild := strings.CutPrefix(f.Host, "*")
	return f.Host == host || isWild && strings.HasSuffix(host, suffix)
}

// Faults are the faults in force. The zero value has none. It is safe for concurrent use.
// Faults are not kept across a restart.
type Faults struct {
	mu     sync.Mutex
	active []Fault
}

// Set adds a fault.
func (f *Faults) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = append(f.active, fault)
}

// Clear removes every fault.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = nil
}

// Take returns the first fault that meets a request and counts it.
func (f *Faults) Take(host, operation, path string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.active {
		if !fault.matches(host, operation, path) {
			continue
		}
		switch fault.Count {
		case 0:
		case 1:
			f.active = slices.Delete(f.active, i, i+1)
		default:
			f.active[i].Count--
		}
		return fault, true
	}
	return Fault{}, false
}

// ServeHTTP is the control surface: GET, POST and DELETE on /_pocket/faults.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/_pocket/faults" {
		http.Error(w, "only /_pocket/faults is here", http.StatusNotFound)
		return
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodDelete:
		f.Clear()
	case http.MethodPost:
		var fault Fault
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&fault); err != nil {
			http.Error(w, "not a fault: "+err.Error(), http.StatusBadRequest)
			return
		}
		if fault.Host == "" || fault.Count < 0 || !slices.Contains(faultKinds, fault.Kind) {
			http.Error(w, `a fault needs "host" and "fault", one of deny, throttle, firewall, error, timeout, down, slow`, http.StatusBadRequest)
			return
		}
		f.Set(fault)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		http.Error(w, "use GET, POST or DELETE", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	f.mu.Lock()
	defer f.mu.Unlock()
	json.NewEncoder(w).Encode(map[string][]Fault{"faults": append([]Fault{}, f.active...)}) //nolint:errcheck // the client is gone
}
