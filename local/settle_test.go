package main

import "testing"

// What people are told leads to where they can open it.
func TestMessagesLeadToTheAPIOnThisMachine(t *testing.T) {
	_, specs, err := resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	(&suite{at: addresses{api: "127.0.0.1:8080"}}).settle(specs)
	told := 0
	for _, spec := range specs {
		if url, knows := spec.Environment["API_URL"]; knows {
			if told++; url != "http://127.0.0.1:8080" {
				t.Errorf("functions/%s is told %s", spec.Name, url)
			}
		}
	}
	if told == 0 {
		t.Error("no function leads to the API")
	}
}
