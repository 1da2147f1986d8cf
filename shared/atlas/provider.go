package atlas

// Provider is a cloud as the API spells it.
type Provider string

// The providers of key management.
const (
	AWS   Provider = "AWS"
	Azure Provider = "AZURE"
	GCP   Provider = "GCP"
)

// Providers lists them in the order in which the API shows them.
func Providers() []Provider { return []Provider{AWS, Azure, GCP} }

// ParseProvider reads a provider from a path or a body. Only the exact spelling counts.
func ParseProvider(s string) (Provider, error) {
	for _, p := range Providers() {
		if s == string(p) {
			return p, nil
		}
	}
	return "", Fail(InvalidEnumValue, s).Hinting("It must be AWS, AZURE or GCP.")
}
