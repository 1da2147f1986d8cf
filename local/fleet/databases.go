package fleet

import (
	"errors"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
)

// MaxValue is the largest value that the data API takes.
const MaxValue = 4 << 20

// Databases is the data of all clusters over HTTP:
//
//	PUT|GET|DELETE /{groupId}/{clusterName}/{database}/{key}
//
// with plain bytes as the body. Whoever can connect may read and write everything, so it must be
// served on loopback addresses only; requests that a web page made for another name are refused.
func (f *Fleet) Databases() http.Handler {
	mux := http.NewServeMux()
	const pattern = " /{groupId}/{clusterName}/{database}/{key...}"
	mux.HandleFunc("GET"+pattern, f.getValue)
	mux.HandleFunc("PUT"+pattern, f.putValue)
	mux.HandleFunc("DELETE"+pattern, f.deleteValue)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			http.Error(w, "this server answers to loopback addresses only", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (f *Fleet) getValue(w http.ResponseWriter, r *http.Request) {
	at, set, ok := f.find(w, r)
	if !ok {
		return
	}
	value, found, err := set.get(r.Context(), at)
	switch {
	case err != nil:
		unavailable(w, err)
	case !found:
		noSuch(w, "key")
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(value.Value) //nolint:errcheck // the client went away
	}
}

func (f *Fleet) putValue(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxValue))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(w, "values have at most 4 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "the body broke off", http.StatusBadRequest)
		return
	}
	at, set, ok := f.find(w, r)
	if !ok {
		return
	}
	if err := set.put(r.Context(), at, value); err != nil {
		unavailable(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *Fleet) deleteValue(w http.ResponseWriter, r *http.Request) {
	at, set, ok := f.find(w, r)
	if !ok {
		return
	}
	found, err := set.erase(r.Context(), at)
	switch {
	case err != nil:
		unavailable(w, err)
	case !found:
		noSuch(w, "key")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// find finds the replica set that has the key of a request, or else the one that shall have it:
// a key stays where it was first written when shards come. It answers the request if there is none.
func (f *Fleet) find(w http.ResponseWriter, r *http.Request) (at place, set *replicaSet, ok bool) {
	at = place{database: r.PathValue("database"), key: r.PathValue("key")}
	const longest = 1 << 10
	if len(at.database) > longest || len(at.key) > longest || at.database == "" || at.key == "" {
		http.Error(w, "databases and keys have 1 to 1024 bytes", http.StatusBadRequest)
		return at, nil, false
	}
	shards := f.shards(r.PathValue("groupId"), r.PathValue("clusterName"))
	if len(shards) == 0 {
		noSuch(w, "cluster")
		return at, nil, false
	}
	if len(shards) == 1 {
		return at, shards[0], true
	}
	i, err := 0, error(nil)
	i = slices.IndexFunc(shards, func(s *replicaSet) bool {
		_, found, failed := s.get(r.Context(), at)
		err = errors.Join(err, failed)
		return found
	})
	if i < 0 && err != nil {
		unavailable(w, err)
		return at, nil, false
	}
	if i < 0 {
		h := fnv.New32a()
		h.Write([]byte(at.database + "\x00" + at.key))
		i = int(h.Sum32() % uint32(len(shards))) //nolint:gosec // there are few shards
	}
	return at, shards[i], true
}

func noSuch(w http.ResponseWriter, what string) { http.Error(w, "no such "+what, http.StatusNotFound) }

// unavailable says why there is no answer. Errors of engines could name keys, so they stay inside.
func unavailable(w http.ResponseWriter, err error) {
	message := "the cluster has no primary: its nodes are disabled, starting or too few"
	if errors.Is(err, ErrNotAcknowledged) {
		message = "a majority of the nodes did not acknowledge the write; it may be there or not"
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, message, http.StatusServiceUnavailable)
}
