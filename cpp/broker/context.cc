#include "broker/context.h"

#include "runtime/controller.h"

namespace pabal::broker {

std::shared_ptr<const metadata::ClusterImage> Context::image() const {
    return controller.image();
}

}  // namespace pabal::broker
