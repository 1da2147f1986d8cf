// Package latchkey holds what describes the whole suite rather than a part of it: the
// deployment template, which the suite on one machine runs from too.
//
// Nothing but local/ and tests may import it: deployed functions know of the template only what
// it puts into their environment.
package latchkey

import _ "embed" // for the template

//go:embed template.yaml
var deploymentTemplate string

// Template is the deployment template, template.yaml.
func Template() []byte { return []byte(deploymentTemplate) }
