package pocket_test

import (
	"testing"

	"latchkey/local/pocket"
)

func TestFaults_meet_what_they_are_set_for(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault                 pocket.Fault
		host, operation, path string
		meets                 bool
	}{
		"the host":                 {pocket.Fault{Host: "kms.example"}, "kms.example", "Decrypt", "/", true},
		"another host":             {pocket.Fault{Host: "kms.example"}, "sts.example", "Decrypt", "/", false},
		"a host of the domain":     {pocket.Fault{Host: "*.east.example"}, "kms.east.example", "Decrypt", "/", true},
		"a host of another domain": {pocket.Fault{Host: "*.east.example"}, "kms.west.example", "Decrypt", "/", false},
		"any host":                 {pocket.Fault{Host: "*"}, "kms.example", "Decrypt", "/", true},
		"the operation":            {pocket.Fault{Host: "*", Operation: "Decrypt"}, "kms.example", "Decrypt", "/", true},
		"another operation":        {pocket.Fault{Host: "*", Operation: "Decrypt"}, "kms.example", "Encrypt", "/", false},
		"the location":             {pocket.Fault{Host: "*", Path: "/locations/east/"}, "kms.example", "Decrypt", "/v1/locations/east/keys/k", true},
		"another location":         {pocket.Fault{Host: "*", Path: "/locations/east/"}, "kms.example", "Decrypt", "/v1/locations/west/keys/k", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var faults pocket.Faults
			c.fault.Kind = pocket.Down
			faults.Set(c.fault)
			if _, met := faults.Take(c.host, c.operation, c.path); met != c.meets {
				t.Errorf("it meets the request: %t", met)
			}
		})
	}
}

func TestFaults_end_once_they_were_met_as_often_as_they_count(t *testing.T) {
	t.Parallel()
	var faults pocket.Faults
	faults.Set(pocket.Fault{Host: "*", Kind: pocket.Down, Count: 2})
	for n, want := range []bool{true, true, false} {
		if _, met := faults.Take("kms.example", "", "/"); met != want {
			t.Errorf("request %d meets it: %t", n+1, met)
		}
	}
}
