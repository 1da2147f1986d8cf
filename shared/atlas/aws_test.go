package atlas_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
)

func TestParseAWSKeyName_accepts_every_form_of_a_key_name(t *testing.T) {
	cases := map[string]struct {
		in   string
		want atlas.AWSKeyName
	}{
		"a key id":              {"1234abcd-12ab-34cd-56ef-1234567890ab", atlas.AWSKeyName{ID: "1234abcd-12ab-34cd-56ef-1234567890ab"}},
		"the documents' key id": {"12x345y6-7z89-0a12-3456-xyz123456789", atlas.AWSKeyName{ID: "12x345y6-7z89-0a12-3456-xyz123456789"}},
		"a multi-Region key id": {"mrk-1234abcd12ab34cd56ef1234567890ab", atlas.AWSKeyName{ID: "mrk-1234abcd12ab34cd56ef1234567890ab"}},
		"an alias name":         {"alias/tenant/key_1", atlas.AWSKeyName{Alias: "alias/tenant/key_1"}},
		"the documents' short ARN": {
			"arn:aws:kms:eu-west-2:111122223333:key/12345678-1234-1234-1234-12345678",
			atlas.AWSKeyName{Partition: "aws", Region: "eu-west-2", Account: "111122223333", ID: "12345678-1234-1234-1234-12345678"},
		},
		"an alias ARN in China": {
			"arn:aws-cn:kms:cn-northwest-1:111122223333:alias/x",
			atlas.AWSKeyName{Partition: "aws-cn", Region: "cn-northwest-1", Account: "111122223333", Alias: "alias/x"},
		},
		"a key ARN in GovCloud": {
			"arn:aws-us-gov:kms:us-gov-east-1:111122223333:key/mrk-00",
			atlas.AWSKeyName{Partition: "aws-us-gov", Region: "us-gov-east-1", Account: "111122223333", ID: "mrk-00"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := atlas.ParseAWSKeyName(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if got.String() != c.in {
				t.Errorf("prints as %q", got)
			}
		})
	}
}

func TestParseAWSKeyName_knows_every_partition(t *testing.T) {
	for partition, region := range map[string]string{
		"aws": "me-central-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1", "aws-iso": "us-iso-west-1",
		"aws-iso-b": "us-isob-east-1", "aws-iso-e": "eu-isoe-west-1", "aws-iso-f": "us-isof-south-1", "aws-eusc": "eusc-de-east-1",
	} {
		s := "arn:" + partition + ":kms:" + region + ":111122223333:key/k"
		if got, err := atlas.ParseAWSKeyName(s); err != nil || got.String() != s {
			t.Errorf("%s parses as %v, %v", s, got, err)
		}
		foreign := "arn:" + partition + ":kms:xx-east-1:111122223333:key/k"
		if _, err := atlas.ParseAWSKeyName(foreign); err == nil {
			t.Errorf("%s is accepted", foreign)
		}
	}
}

func TestParseAWSKeyName_refuses_what_could_mislead(t *testing.T) {
	const arn = "arn:aws:kms:us-east-1:111122223333:"
	for _, s := range []string{
		"", " ", "key with space", "key/1234", "1234\n", "1234\x00", "../secret", "kéy", "a:b", "%2e%2e", "alias/", "alias//x", "alias/x/",
		"alias/../x", "alias/x y", strings.Repeat("a", 257), "alias/" + strings.Repeat("a", 251), strings.Repeat("a", 5000),
		"arn:", "arn:aws:kms", arn, arn + "key/", arn + "key/a/b", arn + "key/a:b", arn + "alias/", arn + "key/..", arn + "secret/x", arn + "key/a ",
		"ARN:aws:kms:us-east-1:111122223333:key/k", "arn:AWS:kms:us-east-1:111122223333:key/k",
		"arn:aws:s3:us-east-1:111122223333:key/k", "arn:aws:kms:us-east-1:11112222333:key/k", "arn:aws:kms:us-east-1:11112222333x:key/k",
		"arn:aws:kms:us-east-1::key/k", "arn:aws:kms::111122223333:key/k", "arn:aws:kms:cn-north-1:111122223333:key/k",
		"arn:aws-cn:kms:us-east-1:111122223333:key/k", "arn:aws-us-gov:kms:us-east-1:111122223333:key/k", "arn:aws:kms:us-gov-1:111122223333:key/k",
		"arn:aws-mars:kms:us-east-1:111122223333:key/k", "arn:aws:kms:US-EAST-1:111122223333:key/k", "arn::kms::111122223333:key/k",
	} {
		if got, err := atlas.ParseAWSKeyName(s); atlas.CodeOf(err) != atlas.InvalidAttribute {
			t.Errorf("%q parses as %+v, %v", s, got, err)
		}
	}
}

func TestAWSKeyName_tells_what_it_is(t *testing.T) {
	type facts struct{ ARN, Alias, Multi bool }
	for s, want := range map[string]facts{
		"1234": {}, "mrk-1234": {Multi: true}, "alias/mrk-1": {Alias: true},
		"arn:aws:kms:us-east-1:111122223333:key/mrk-1": {ARN: true, Multi: true},
		"arn:aws:kms:us-east-1:111122223333:alias/a":   {ARN: true, Alias: true},
	} {
		k, err := atlas.ParseAWSKeyName(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := (facts{k.IsARN(), k.IsAlias(), k.IsMultiRegion()}); got != want {
			t.Errorf("%s: %+v, want %+v", s, got, want)
		}
	}
}

func TestAWSKeyName_InRegion_names_the_replica(t *testing.T) {
	for in, want := range map[string]string{
		"mrk-1": "mrk-1",
		"arn:aws:kms:us-east-1:111122223333:key/mrk-1": "arn:aws:kms:eu-west-1:111122223333:key/mrk-1",
	} {
		k, err := atlas.ParseAWSKeyName(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.InRegion("eu-west-1").String(); got != want {
			t.Errorf("%s in eu-west-1 is %s, want %s", in, got, want)
		}
	}
}

func TestParseAWSPrincipal_accepts_every_kind(t *testing.T) {
	for s, want := range map[string]atlas.AWSPrincipal{
		"arn:aws:iam::111122223333:root":                      {Partition: "aws", Account: "111122223333", Kind: atlas.PrincipalRoot},
		"arn:aws:iam::111122223333:user/u@x":                  {Partition: "aws", Account: "111122223333", Kind: atlas.PrincipalUser, Path: "/", Name: "u@x"},
		"arn:aws-cn:iam::111122223333:role/r":                 {Partition: "aws-cn", Account: "111122223333", Kind: atlas.PrincipalRole, Path: "/", Name: "r"},
		"arn:aws:iam::111122223333:role/a/b/r":                {Partition: "aws", Account: "111122223333", Kind: atlas.PrincipalRole, Path: "/a/b/", Name: "r"},
		"arn:aws:sts::111122223333:assumed-role/r/s=1":        {Partition: "aws", Account: "111122223333", Kind: atlas.PrincipalSession, Name: "r", Session: "s=1"},
		"arn:aws-us-gov:iam::111122223333:role/MongoDB.Atlas": {Partition: "aws-us-gov", Account: "111122223333", Kind: atlas.PrincipalRole, Path: "/", Name: "MongoDB.Atlas"},
	} {
		got, err := atlas.ParseAWSPrincipal(s)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", s, err, diff)
		}
		if got.String() != s {
			t.Errorf("%s prints as %s", s, got)
		}
	}
}

func TestParseAWSRole_refuses_what_is_no_role(t *testing.T) {
	const iam = "arn:aws:iam::111122223333:"
	for _, s := range []string{
		"", "r", iam + "root", iam + "user/u", iam + "role", iam + "role/", iam + "role/a/", iam + "role//r", iam + "role/a//r", iam + "role/../r",
		iam + "role/..", iam + "role/a b", iam + "role/r*", iam + "role/r:x", iam + "role/" + strings.Repeat("r", 65),
		iam + "role/" + strings.Repeat("p/", 300) + "r", "arn:aws:iam:us-east-1:111122223333:role/r", "arn:aws:iam::1111:role/r",
		"arn:aws:sts::111122223333:assumed-role/r/s", "arn:aws:sts::111122223333:role/r", "arn:aws:kms::111122223333:role/r", iam + "role/rölle",
		"arn:aws:iam::111122223333:role/r\n", strings.Repeat("a", 3000),
	} {
		if got, err := atlas.ParseAWSRole(s); atlas.CodeOf(err) != atlas.InvalidAttribute {
			t.Errorf("%q parses as %+v, %v", s, got, err)
		}
	}
}

func TestParseAWSRegion_takes_both_spellings_in_any_case(t *testing.T) {
	for _, r := range atlas.AWSRegions() {
		for _, s := range []string{string(r), r.Atlas(), strings.ToLower(r.Atlas()), strings.ToUpper(string(r))} {
			if got, err := atlas.ParseAWSRegion(s); err != nil || got != r {
				t.Errorf("%s parses as %s, %v", s, got, err)
			}
		}
		if r.DNSSuffix() == "" {
			t.Errorf("%s belongs to no partition", r)
		}
	}
	if got := atlas.AWSRegion("us-gov-west-1").Atlas(); got != "US_GOV_WEST_1" {
		t.Errorf("us-gov-west-1 is spelt %s", got)
	}
}

func TestParseAWSRegion_refuses_what_is_no_region(t *testing.T) {
	for s, want := range map[string]atlas.Code{
		"GLOBAL": atlas.AWSRegionNotSupported, "global": atlas.AWSRegionNotSupported, "": atlas.InvalidRegion, "EUROPE_NORTH": atlas.InvalidRegion,
		"us-east-1 ": atlas.InvalidRegion, "us-east-99": atlas.InvalidRegion, "us.east.1": atlas.InvalidRegion, "us-iso-east-1": atlas.InvalidRegion,
		"evil.example/us-east-1": atlas.InvalidRegion,
	} {
		if got, err := atlas.ParseAWSRegion(s); atlas.CodeOf(err) != want {
			t.Errorf("%q parses as %q, %v; want %s", s, got, err, want)
		}
	}
}

func TestAWSRegion_has_the_partition_and_domain_of_its_endpoints(t *testing.T) {
	for r, want := range map[atlas.AWSRegion][2]string{
		"us-east-1": {"aws", "amazonaws.com"}, "cn-north-1": {"aws-cn", "amazonaws.com.cn"}, "us-gov-west-1": {"aws-us-gov", "amazonaws.com"},
		"us-iso-east-1": {"aws-iso", "c2s.ic.gov"}, "eusc-de-east-1": {"aws-eusc", "amazonaws.eu"}, "mars-east-1": {"", ""},
	} {
		if got := [2]string{string(r.Partition()), r.DNSSuffix()}; got != want {
			t.Errorf("%s: %v, want %v", r, got, want)
		}
	}
}

// keyNames generates names that are valid by construction.
func keyNames() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		resource := rapid.OneOf(
			rapid.StringMatching(`key/[A-Za-z0-9-]{1,64}`), rapid.StringMatching(`key/mrk-[0-9a-f]{32}`),
			rapid.StringMatching(`alias(/[A-Za-z0-9_-]{1,10}){1,4}`),
		).Draw(t, "resource")
		if rapid.Bool().Draw(t, "bare") {
			return strings.TrimPrefix(resource, "key/")
		}
		region := rapid.SampledFrom(atlas.AWSRegions()).Draw(t, "region")
		account := rapid.StringMatching(`[0-9]{12}`).Draw(t, "account")
		return "arn:" + string(region.Partition()) + ":kms:" + string(region) + ":" + account + ":" + resource
	})
}

func TestParseAWSKeyName_and_String_are_inverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := keyNames().Draw(t, "name")
		got, err := atlas.ParseAWSKeyName(s)
		if err != nil || got.String() != s {
			t.Fatalf("%q parses as %+v (%q), %v", s, got, got, err)
		}
	})
}

// The names that are not looked at by patterns are those that the patterns of AWS's documents admit.
func TestNamesAreThoseThatAWSDocuments(t *testing.T) {
	documented := map[string]*regexp.Regexp{ // by what stands before a name
		"arn:aws:kms:us-east-1:111122223333:key/":   regexp.MustCompile(`^[A-Za-z0-9-]{1,256}$`),
		"arn:aws:iam::111122223333:role/":           regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`),
		"arn:aws:sts::111122223333:assumed-role/a/": regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`),
		"arn:aws:kms:us-east-1:":                    regexp.MustCompile(`^[0-9]{12}$`),
	}
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom(slices.Sorted(maps.Keys(documented))).Draw(t, "prefix")
		name := rapid.OneOf(
			rapid.StringMatching(`[A-Za-z0-9_+=,.@-]{0,66}`), rapid.StringMatching(`[A-Za-z0-9-]{250,260}`), rapid.StringMatching(`[0-9]{10,14}`),
			rapid.StringMatching(`[^/:]{0,14}`),
		).Draw(t, "name")
		s, parse := prefix+name, func(s string) error { _, err := atlas.ParseAWSPrincipal(s); return err }
		if strings.Contains(prefix, ":kms:") {
			parse = func(s string) error { _, err := atlas.ParseAWSKeyName(s); return err }
		}
		if strings.HasSuffix(prefix, ":") {
			s += ":key/k"
		}
		if want := documented[prefix].MatchString(name) && name != "." && name != ".."; (parse(s) == nil) != want {
			t.Fatalf("that %q is good is %t", s, !want)
		}
	})
}

// hostile are seeds that have misled parsers of ARNs.
var hostile = []string{
	"", "arn", "arn:::::", "arn:aws:kms:us-east-1:111122223333:key/../alias/x", "alias/\x00", "mrk-", "arn:aws:iam::111122223333:role/a/../b",
	"arn:aws:sts::111122223333:assumed-role/a/b/c", "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
}

func FuzzParseAWSKeyName(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := atlas.ParseAWSKeyName(s)
		if err == nil && k.String() != s {
			t.Errorf("%q prints as %q", s, k)
		}
		if err == nil && (strings.ContainsAny(s, " \t\r\n\x00%?#\\.") || strings.Contains(s, "//")) {
			t.Errorf("%q was accepted", s)
		}
	})
}

func FuzzParseAWSPrincipal(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := atlas.ParseAWSPrincipal(s)
		if err == nil && p.String() != s {
			t.Errorf("%q prints as %q", s, p)
		}
		if err == nil && (strings.ContainsAny(s, " \t\r\n\x00%?#*\\") || strings.Contains(s, "//") || strings.Contains(s, "/../")) {
			t.Errorf("%q was accepted", s)
		}
	})
}

func FuzzParseAWSRegion(f *testing.F) {
	for _, s := range append(hostile, "US_EAST_1", "us-east-1", "GLOBAL", "us\u212Aeast_1") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := atlas.ParseAWSRegion(s); err == nil && !strings.EqualFold(r.Atlas(), strings.ReplaceAll(s, "-", "_")) {
			t.Errorf("%q parses as %q", s, r)
		}
	})
}

// What AWS documents of its partitions are regular expressions.
func TestPartition_isWhatThePatternsOfRegionsSay(t *testing.T) {
	const direction = `(central|east|west|(north|south)(east|west)?)-[1-9][0-9]?$`
	documented := map[atlas.AWSPartition]*regexp.Regexp{
		"aws":        regexp.MustCompile(`^(af|ap|ca|eu|il|me|mx|sa|us)-` + direction),
		"aws-cn":     regexp.MustCompile(`^cn-` + direction),
		"aws-us-gov": regexp.MustCompile(`^us-gov-` + direction),
		"aws-iso":    regexp.MustCompile(`^us-iso-` + direction),
		"aws-iso-b":  regexp.MustCompile(`^us-isob-` + direction),
		"aws-iso-e":  regexp.MustCompile(`^eu-isoe-` + direction),
		"aws-iso-f":  regexp.MustCompile(`^us-isof-` + direction),
		"aws-eusc":   regexp.MustCompile(`^eusc-de-` + direction),
	}
	areas := []string{"af", "ap", "us", "eu", "cn", "us-gov", "us-iso", "us-isob", "eu-isoe", "us-isof", "eusc-de", "eusc-d", "eusc-D1", "gov", "us-us", "", "*", "["}
	directions := []string{"central", "east", "northwest", "southeast", "north", "northsouth", "gov", "EAST", ""}
	numbers := []string{"1", "12", "99", "0", "01", "100", "+1", "-1", "a", ""}
	rapid.Check(t, func(t *rapid.T) {
		region := strings.Join([]string{
			rapid.SampledFrom(areas).Draw(t, "area"), rapid.SampledFrom(directions).Draw(t, "direction"), rapid.SampledFrom(numbers).Draw(t, "number"),
		}, "-")
		var want atlas.AWSPartition
		for name, pattern := range documented {
			if pattern.MatchString(region) {
				want = name
			}
		}
		if got := atlas.AWSRegion(region).Partition(); got != want {
			t.Fatalf("%q is in %q, want %q", region, got, want)
		}
	})
}
