// What a runtime written in Go does with a network: libcni's own ADD, CHECK and DEL, result cache and all.
//
//	libcni add|check|del NETWORK NETNS   with CNI_PATH, NETCONFPATH, CNI_CACHE, CAPABILITIES (JSON) in the environment
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	verb, network, netns := os.Args[1], os.Args[2], os.Args[3]
	list, err := libcni.LoadConfList(os.Getenv("NETCONFPATH"), network)
	must(err)
	capabilities := map[string]interface{}{}
	if text := os.Getenv("CAPABILITIES"); text != "" {
		must(json.Unmarshal([]byte(text), &capabilities))
	}
	runtime := &libcni.RuntimeConf{ContainerID: "go-" + filepath.Base(netns), NetNS: netns, IfName: "eth0", CapabilityArgs: capabilities}
	cni := libcni.NewCNIConfigWithCacheDir(strings.Split(os.Getenv("CNI_PATH"), ":"), os.Getenv("CNI_CACHE"), nil)
	switch verb {
	case "add":
		result, err := cni.AddNetworkList(context.Background(), list, runtime)
		must(err)
		text, err := json.Marshal(result)
		must(err)
		fmt.Println(string(text))
	case "check":
		must(cni.CheckNetworkList(context.Background(), list, runtime))
	case "del":
		must(cni.DelNetworkList(context.Background(), list, runtime))
	}
}
