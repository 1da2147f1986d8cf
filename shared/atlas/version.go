package atlas

import (
	"mime"
	"strings"
	"time"
)

// Version is the date of an API resource version, "2006-01-02". The empty Version stands for
// the unversioned API (v1.0 and OAuth), whose media type is application/json.
type Version string

// The versions that the operations here were released at (CONTRACT 1.1).
const (
	V20230101 Version = "2023-01-01"
	V20230201 Version = "2023-02-01"
	V20231115 Version = "2023-11-15"
	V20240530 Version = "2024-05-30"
	V20240805 Version = "2024-08-05"
	V20241023 Version = "2024-10-23"
	V20241113 Version = "2024-11-13"
	V20250219 Version = "2025-02-19"
	V20250312 Version = "2025-03-12"
)

// MediaType is the Content-Type of a successful response at this version.
func (v Version) MediaType() string {
	if v == "" {
		return "application/json"
	}
	return "application/vnd.atlas." + string(v) + "+json;charset=utf-8"
}

// ParseAccept finds the version asked for in an Accept header. ok is false when no
// application/vnd.atlas.<date>+json is named with a real date.
func ParseAccept(header string) (v Version, ok bool) {
	for part := range strings.SplitSeq(header, ",") {
		mediaType, _, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		date, found := strings.CutPrefix(mediaType, "application/vnd.atlas.")
		if !found {
			continue
		}
		date, found = strings.CutSuffix(date, "+json")
		if !found {
			continue
		}
		if _, err := time.Parse(time.DateOnly, date); err == nil {
			return Version(date), true
		}
	}
	return "", false
}

// Resolve picks the newest of the available versions that is not later than the one asked
// for. available is in ascending order. ok is false when there is none: the vendor's own curl
// lines ask for 2024-11-13 of operations that exist only at 2023-01-01.
func Resolve(asked Version, available []Version) (v Version, ok bool) {
	for _, a := range available {
		if a <= asked {
			v, ok = a, true
		}
	}
	return v, ok
}
