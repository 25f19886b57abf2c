# SPDX-License-Identifier: Apache-2.0
# Pod Security Standards, profile "restricted", for everything that has a pod template. Source: Kubernetes' documentation of the standards.
package merlon.admission.restricted

import data.merlon.lib.workload

context(spec) := object.get(spec, "securityContext", {})

# A container's setting, else the pod's.
setting(spec, c, key) := v if {
	v := c.securityContext[key]
} else := v if {
	v := spec.securityContext[key]
}

is_confined(spec, c, key) if setting(spec, c, key).type in {"RuntimeDefault", "Localhost"}

is_not_root(spec, c) if setting(spec, c, "runAsNonRoot") == true

all_of(spec) := array.concat(array.concat(object.get(spec, "containers", []), object.get(spec, "initContainers", [])), object.get(spec, "ephemeralContainers", []))

say(c, what) := sprintf("%s: container %s: %s", [workload.name, object.get(c, "name", "?"), what])

deny contains sprintf("%s: %s is shared with the node", [workload.name, key]) if {
	some spec in workload.specs
	some key in {"hostNetwork", "hostPID", "hostIPC"}
	spec[key] == true
}

allowed_volumes := {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}

deny contains sprintf("%s: volume %s is a %s", [workload.name, volume.name, type]) if {
	some spec in workload.specs
	some volume in spec.volumes
	some type, _ in volume
	type != "name"
	not type in allowed_volumes
}

allowed_sysctls := {
	"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
	"net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
}

deny contains sprintf("%s: sysctl %s", [workload.name, s.name]) if {
	some spec in workload.specs
	some s in context(spec).sysctls
	not s.name in allowed_sysctls
}

deny contains say(c, "is privileged") if {
	some spec in workload.specs
	some c in all_of(spec)
	c.securityContext.privileged == true
}

deny contains say(c, "allowPrivilegeEscalation is not false") if {
	some spec in workload.specs
	some c in all_of(spec)
	object.get(object.get(c, "securityContext", {}), "allowPrivilegeEscalation", true) != false
}

deny contains say(c, "runAsNonRoot is not true") if {
	some spec in workload.specs
	some c in all_of(spec)
	not is_not_root(spec, c)
}

deny contains say(c, "runs as user 0") if {
	some spec in workload.specs
	some c in all_of(spec)
	setting(spec, c, "runAsUser") == 0
}

deny contains say(c, "seccompProfile is neither RuntimeDefault nor Localhost") if {
	some spec in workload.specs
	some c in all_of(spec)
	not is_confined(spec, c, "seccompProfile")
}

deny contains say(c, "does not drop ALL capabilities") if {
	some spec in workload.specs
	some c in all_of(spec)
	not drops_all(c)
}

drops_all(c) if "ALL" in c.securityContext.capabilities.drop

deny contains say(c, sprintf("adds capability %s", [capability])) if {
	some spec in workload.specs
	some c in all_of(spec)
	some capability in c.securityContext.capabilities.add
	capability != "NET_BIND_SERVICE"
}

deny contains say(c, sprintf("takes port %d of the node", [port.hostPort])) if {
	some spec in workload.specs
	some c in all_of(spec)
	some port in c.ports
	port.hostPort > 0
}

deny contains say(c, sprintf("procMount is %s", [c.securityContext.procMount])) if {
	some spec in workload.specs
	some c in all_of(spec)
	c.securityContext.procMount != "Default"
}

deny contains say(c, sprintf("appArmorProfile is %s", [profile.type])) if {
	some spec in workload.specs
	some c in all_of(spec)
	profile := setting(spec, c, "appArmorProfile")
	not profile.type in {"RuntimeDefault", "Localhost"}
}

deny contains say(c, "SELinux user, role or type") if {
	some spec in workload.specs
	some c in all_of(spec)
	options := setting(spec, c, "seLinuxOptions")
	bad := {k | some k in {"user", "role"}; object.get(options, k, "") != ""} | {"type" | not object.get(options, "type", "") in {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}}
	count(bad) > 0
}

deny contains say(c, "is a Windows host process") if {
	some spec in workload.specs
	some c in all_of(spec)
	setting(spec, c, "windowsOptions").hostProcess == true
}
