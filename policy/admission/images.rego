# SPDX-License-Identifier: Apache-2.0
# Image provenance: named by digest, from registries that are approved.
package merlon.admission.images

import data.merlon.lib.workload
import data.merlon.params

deny contains sprintf("%s: image %s of container %s is not named by its digest", [workload.name, c.image, c.name]) if {
	some c in workload.containers
	not regex.match(`@sha256:[0-9a-f]{64}$`, c.image)
}

deny contains sprintf("%s: image %s of container %s is from no approved registry", [workload.name, c.image, c.name]) if {
	some c in workload.containers
	c.image
	not approved(c.image)
}

approved(image) if {
	some registry in params.registries
	startswith(image, registry)
}
