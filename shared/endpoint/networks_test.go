package endpoint_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
)

func TestParseNetworks_readsWhatAnOperatorWrites(t *testing.T) {
	n, err := endpoint.ParseNetworks(`{
		"aws": {
			"us-west-2": {"vpcId": "vpc-2", "subnetIds": ["subnet-2"], "securityGroupIds": ["sg-2"]},
			"us-east-1": {"vpcId": "vpc-1", "subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}
		},
		"azure": {
			"subscriptionId": "6f1b0000-0000-4000-8000-0000000000ab",
			"regions": {"US_EAST_2": {"location": "eastus2", "resourceGroup": "rg", "subnetId": "/subscriptions/s"}}
		}
	}`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[atlas.Provider][]string{atlas.AWS: {"US_EAST_1", "US_WEST_2"}, atlas.Azure: {"US_EAST_2"}}
	if diff := cmp.Diff(want, n.Regions()); diff != "" {
		t.Error(diff)
	}
	if got := n.AWS["us-east-1"].VPCID + n.Azure.Regions["US_EAST_2"].Location; got != "vpc-1eastus2" {
		t.Error(got)
	}
}

func TestParseNetworks_ofNothingAreNone(t *testing.T) {
	if n, err := endpoint.ParseNetworks(""); err != nil || len(n.Regions()) != 0 {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestParseNetworks_saysWhatIsWrong(t *testing.T) {
	const network = `{"vpcId":"v","subnetIds":["s"],"securityGroupIds":["g"]}`
	for text, want := range map[string]string{
		`[]`:                                    "cannot unmarshal",
		`{} {}`:                                 "something follows",
		`{"gcp":{}}`:                            "unknown field",
		`{"aws":{"US_EAST_1":` + network + `}}`: "no region of AWS",
		`{"aws":{"mars-1":` + network + `}}`:    "no region of AWS",
		`{"aws":{"us-east-1":{"vpcId":"v"}}}`:   "subnetIds",
		`{"azure":{}}`:                          "subscriptionId",
		`{"azure":{"environment":"AZURE_MOON","subscriptionId":"6f1b0000-0000-4000-8000-0000000000ab"}}`:                     "no environment",
		`{"azure":{"subscriptionId":"6f1b0000-0000-4000-8000-0000000000ab","regions":{"eastus2":{}}}}`:                       "no region of Azure",
		`{"azure":{"subscriptionId":"6f1b0000-0000-4000-8000-0000000000ab","regions":{"US_EAST_2":{"location":"eastus2"}}}}`: "subnetId",
	} {
		if _, err := endpoint.ParseNetworks(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
